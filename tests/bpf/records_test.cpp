// SPDX-License-Identifier: Apache-2.0
// A hash element can be reused by the kernel while it is read. A record whose `self` is not its key is never used.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Records : public ProgramTest {
 protected:
  Records() { world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}}); }
  [[nodiscard]] Frame syn() const { return tcp(client.to_router(), there, kSyn); }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Tuple there{client.address, 40000, ip("172.16.1.1"), 80};
};

/// The slot in front of `ports`, as the test left it.
void put_slot(Datapath& datapath, std::uint32_t ifindex, const sluice_port_slot& slot) {
  datapath.put("port_slots", ifindex % SLUICE_PORT_SLOTS, slot);
}

TEST_F(Records, AnotherDevicesRecordAdmitsNobody) {
  auto port = datapath.lookup<sluice_port>("ports", client.ifindex).value();
  port.self = server.ifindex;
  datapath.put("ports", client.ifindex, port);
  put_slot(datapath, client.ifindex, {});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_NO_PORT);
}

TEST_F(Records, APortWhoseSlotAnotherPortHoldsIsFoundInTheHash) {
  auto other = datapath.lookup<sluice_port>("ports", server.ifindex).value();
  other.self = client.ifindex + SLUICE_PORT_SLOTS;
  put_slot(datapath, client.ifindex, {.sequence = 2, .port = other, .pad = {}});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Records, ASlotThatIsBeingWrittenIsNotBelieved) {
  const auto own = datapath.lookup<sluice_port>("ports", client.ifindex).value();
  datapath.remove("ports", client.ifindex);
  put_slot(datapath, client.ifindex, {.sequence = 3, .port = own, .pad = {}});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_NO_PORT);
  put_slot(datapath, client.ifindex, {.sequence = 4, .port = own, .pad = {}});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Records, APortWithoutASlotIsAdmittedByTheHash) {
  put_slot(datapath, client.ifindex, {});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Records, AnotherServicesRecordIsNotUsedAndAnswersNoReset) {
  const sluice_frontend4_key key{7, be(there.destination), be(std::uint16_t{80}), kTcp, 0};
  const auto good = datapath.lookup<sluice_frontend4>("frontends4", key).value();
  auto torn = good;
  torn.self.port = be(std::uint16_t{81});
  datapath.put("frontends4", key, torn);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED) << "the service exists: a reset would be a lie";
  torn = good;
  torn.self.network = 8;
  datapath.put("frontends4", key, torn);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  datapath.put("frontends4", key, good);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Records, AnotherEndpointsRecordIsNotUsed) {
  const sluice_endpoint4_key key{7, be(server.address)};
  auto endpoint = datapath.lookup<sluice_endpoint4>("endpoints4", key).value();
  endpoint.self.network = 8;
  datapath.put("endpoints4", key, endpoint);
  EXPECT_EQ(send(client, udp(client.to(server), {client.address, 1, server.address, 2})).reason,
            SLUICE_REASON_TABLE_CHANGED);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED) << "as a backend";
  EXPECT_EQ(send(client, arp({client.mac, kBroadcastMac}, 1, client.mac, client.address, {}, server.address)).reason,
            SLUICE_REASON_ARP_NO_TARGET);
}

TEST_F(Records, AnotherFlowsRecordIsAMiss) {
  send(client, syn());
  auto record = flow(7, kTcp, there).value();
  const sluice_flow4_key key = record.self;
  record.self.source_port = be(std::uint16_t{1});
  datapath.put("flows4", key, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP);
  record.self = key;
  datapath.put("flows4", key, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Records, AFlowIsItsOwnersAlone) {
  send(client, syn());
  auto record = flow(7, kTcp, there).value();
  const auto good = record;
  record.source = server.ref;
  datapath.put("flows4", record.self, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP)
      << "another pod's record";
  datapath.put("flows4", good.self, good);
}

TEST_F(Records, ARecordWithAnotherEndIsNotUsed) {
  // As a copy leaves it that goes from the end to the beginning: the last bytes are another's already.
  auto port = datapath.lookup<sluice_port>("ports", client.ifindex).value();
  port.self_end = server.ifindex;
  put_slot(datapath, client.ifindex, {});
  datapath.put("ports", client.ifindex, port);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_NO_PORT);
  port.self_end = client.ifindex;
  datapath.put("ports", client.ifindex, port);

  const sluice_frontend4_key key{7, be(there.destination), be(std::uint16_t{80}), kTcp, 0};
  auto frontend = datapath.lookup<sluice_frontend4>("frontends4", key).value();
  frontend.self_end.network = 8;
  datapath.put("frontends4", key, frontend);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  frontend.self_end = key;
  datapath.put("frontends4", key, frontend);

  const sluice_endpoint4_key address{7, be(server.address)};
  auto endpoint = datapath.lookup<sluice_endpoint4>("endpoints4", address).value();
  endpoint.self_end.address ^= 1;
  datapath.put("endpoints4", address, endpoint);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  endpoint.self_end = address;
  datapath.put("endpoints4", address, endpoint);

  ASSERT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
  auto record = flow(7, kTcp, there).value();
  record.stamp_end ^= 1;
  datapath.put("flows4", record.self, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP);
  record.stamp_end ^= 1;
  datapath.put("flows4", record.self, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Records, TheCountersAddUpToTheRuns) {
  unsigned runs = 0;
  for (unsigned i = 0; i < 300; ++i, ++runs) {
    Frame frame = i % 3 == 0 ? syn() : udp(client.to(server), {client.address, 1, server.address, 2});
    frame.set8(i % frame.size(), frame.get8(i % frame.size()) ^ (1U << (i % 8)));
    if (i % 2 == 0) {
      send(client, frame);
    } else {
      receive(frame);
    }
  }
  std::uint64_t sum = 0;
  for (const sluice_counter& counter : datapath.counters()) sum += counter.packets;
  EXPECT_EQ(sum, runs);
}

}  // namespace
}  // namespace bpftest
