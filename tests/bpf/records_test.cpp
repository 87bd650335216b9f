// SPDX-License-Identifier: Apache-2.0
// A hash element can be reused by the kernel while it is read. A record whose `self` is not its key is never used.
#include <cstring>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

/// Changes an address of either family as it stands in a record, where only a whole comparison sees it.
void flip_last_byte(__be32& address) {
  address ^= be(1U);
}
void flip_last_byte(sluice_address6& address) {
  flip_last_byte(address.words[3]);
}

class Records : public FamilyTest {
 protected:
  Records() { world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}}); }
  [[nodiscard]] Frame syn() const { return tcp(client.to_router(), there, kSyn); }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Tuple there{client.address, 40000, ip("172.16.1.1"), 80};
  FrontendKey service{7, there.destination, 80, kTcp};
};

/// The slot in front of `ports`, as the test left it.
void put_slot(Datapath& datapath, std::uint32_t ifindex, const sluice_port_slot& slot) {
  datapath.put("port_slots", ifindex % SLUICE_PORT_SLOTS, slot);
}

TEST_P(Records, AnotherDevicesRecordAdmitsNobody) {
  auto port = datapath.lookup<sluice_port>("ports", client.ifindex).value();
  port.self = server.ifindex;
  datapath.put("ports", client.ifindex, port);
  put_slot(datapath, client.ifindex, {});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_NO_PORT);
}

TEST_P(Records, APortWhoseSlotAnotherPortHoldsIsFoundInTheHash) {
  auto other = datapath.lookup<sluice_port>("ports", server.ifindex).value();
  other.self = client.ifindex + SLUICE_PORT_SLOTS;
  put_slot(datapath, client.ifindex, {.sequence = 2, .pad = 0, .port = other, .pad2 = {}});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Records, ASlotThatIsBeingWrittenIsNotBelieved) {
  const auto own = datapath.lookup<sluice_port>("ports", client.ifindex).value();
  datapath.remove("ports", client.ifindex);
  put_slot(datapath, client.ifindex, {.sequence = 3, .pad = 0, .port = own, .pad2 = {}});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_NO_PORT);
  put_slot(datapath, client.ifindex, {.sequence = 4, .pad = 0, .port = own, .pad2 = {}});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Records, APortWithoutASlotIsAdmittedByTheHash) {
  put_slot(datapath, client.ifindex, {});
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Records, AnotherServicesRecordIsNotUsedAndAnswersNoReset) {
  datapath.change(service, [](auto& record) { record.self.port = be(std::uint16_t{81}); });
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED) << "the service exists: a reset would be a lie";
  datapath.change(service, [](auto& record) {
    record.self = record.self_end;
    record.self.network = 8;
  });
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  datapath.change(service, [](auto& record) { flip_last_byte(record.self.address = record.self_end.address); });
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  datapath.change(service, [](auto& record) { record.self = record.self_end; });
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Records, AnotherEndpointsRecordIsNotUsed) {
  datapath.change(EndpointKey{7, server.address}, [](auto& record) { record.self.network = 8; });
  EXPECT_EQ(send(client, udp(client.to(server), {client.address, 1, server.address, 2})).reason,
            SLUICE_REASON_TABLE_CHANGED);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED) << "as a backend";
  EXPECT_EQ(send(client, question(client.mac, client.address, server.address)).reason,
            pick(SLUICE_REASON_ARP_NO_TARGET, SLUICE_REASON_ND_NO_TARGET));
}

TEST_P(Records, AnotherFlowsRecordIsAMiss) {
  send(client, syn());
  auto record = flow(7, kTcp, there).value();
  const FlowKey key = record.self;
  record.self.tuple.source_port = 1;
  datapath.put_flow(key, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP);
  record.self = key;
  datapath.put_flow(key, record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Records, AFlowIsItsOwnersAlone) {
  send(client, syn());
  auto record = flow(7, kTcp, there).value();
  const auto good = record;
  record.source = server.ref;
  datapath.put_flow(record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP)
      << "another pod's record";
  datapath.put_flow(good);
}

TEST_P(Records, ARecordWithAnotherEndIsNotUsed) {
  // As a copy leaves it that goes from the end to the beginning: the last bytes are another's already.
  auto port = datapath.lookup<sluice_port>("ports", client.ifindex).value();
  port.self_end = server.ifindex;
  put_slot(datapath, client.ifindex, {});
  datapath.put("ports", client.ifindex, port);
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_NO_PORT);
  port.self_end = client.ifindex;
  datapath.put("ports", client.ifindex, port);

  datapath.change(service, [](auto& record) { record.self_end.network = 8; });
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  datapath.change(service, [](auto& record) { record.self_end = record.self; });

  const EndpointKey backend{7, server.address};
  datapath.change(backend, [](auto& record) { flip_last_byte(record.self_end.address); });
  EXPECT_EQ(send(client, syn()).reason, SLUICE_REASON_TABLE_CHANGED);
  datapath.change(backend, [](auto& record) { record.self_end = record.self; });

  ASSERT_EQ(send(client, syn()).reason, SLUICE_REASON_TO_BACKEND);
  auto record = flow(7, kTcp, there).value();
  record.stamp_end ^= 1;
  datapath.put_flow(record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP);
  record.stamp_end ^= 1;
  datapath.put_flow(record);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Records, TheCountersAddUpToTheRuns) {
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

/// Two tuples whose records would stand under one digest. Nobody can make them who does not know the key.
class Digests : public ProgramTest {
 protected:
  Digests() : ProgramTest(Family::kIpv6) {
    world.floating("2001:db8:0:1::5", 80, kTcp, network, {{server, 8080}});
    world.floating("2001:db8:0:2::5", 80, kTcp, network, {{second, 8080}});
  }
  [[nodiscard]] static Address client() {
    sluice_address6 address = bpftest::ip("2001:db8::9").wire6();
    address.words[1] = 0U - kDigestKey.words[2];  // this word's product is 0, whatever the destination has in it
    return Address::of6(address);
  }
  [[nodiscard]] static sluice_flow6_digest digest(const Tuple& tuple) {
    return Ipv6::map_key(wire_key(Ipv6{}, FlowKey{0, kTcp, tuple}));
  }
  Outcome open(const Tuple& tuple) { return receive(tcp(kInbound, tuple, kSyn)); }

  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  Pod second = world.pod(network, "172.16.0.21");
  Tuple one{client(), 40000, ip("2001:db8:0:1::5"), 80};
  Tuple other{client(), 40000, ip("2001:db8:0:2::5"), 80};
};

TEST_F(Digests, AddressesOfOneSubnetAreNotInEachOthersWay) {
  sluice_address6 address = bpftest::ip("2001:db8::9").wire6();
  address.words[2] = 0U - kDigestKey.words[4];  // this product is 0, whatever the identifier's other half
  one.source = Address::of6(address);
  ASSERT_EQ(open(one).reason, SLUICE_REASON_TO_BACKEND);
  address.words[3] = ~address.words[3];
  const Tuple neighbour{Address::of6(address), one.source_port, one.destination, one.destination_port};
  ASSERT_EQ(digest(one).addresses, digest(neighbour).addresses);
  EXPECT_EQ(open(neighbour).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.flows().size(), 4U);
}

TEST_F(Digests, TheLaterOfTwoFlowsWithOneDigestIsRefusedAndTheFirstUntouched) {
  const auto first = digest(one), same = digest(other);
  ASSERT_EQ(std::memcmp(&first, &same, sizeof(first)), 0);
  ASSERT_EQ(open(one).reason, SLUICE_REASON_TO_BACKEND);
  const auto before = flow(0, kTcp, one);
  EXPECT_EQ(open(other).reason, SLUICE_REASON_FLOW_CONTENDED) << "not translated by the other's record";
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U) << "the refused one is charged nothing";
  EXPECT_EQ(datapath.flows().size(), 2U);
  EXPECT_EQ(flow(0, kTcp, one).value().stamp, before.value().stamp);
  EXPECT_EQ(receive(tcp(kInbound, one, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  other.source_port = 40001;
  EXPECT_EQ(open(other).reason, SLUICE_REASON_TO_BACKEND) << "the ports are not in the digest";
}

IN_BOTH_FAMILIES(Records);

}  // namespace
}  // namespace bpftest
