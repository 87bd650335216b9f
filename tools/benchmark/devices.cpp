// SPDX-License-Identifier: Apache-2.0
#include "devices.hpp"

#include <net/if.h>
#include <netlink/route/link/veth.h>
#include <netlink/socket.h>
#include <sched.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace sluice::benchmark {

namespace {

using Socket = std::unique_ptr<nl_sock, decltype(&nl_socket_free)>;

// The peer is never used: a veth it is because every kernel has veth and not every one dummy devices.
Result<std::uint32_t> make_device(nl_sock* socket, const std::string& name) {
  const int error = rtnl_link_veth_add(socket, name.c_str(), (name + "p").c_str(), getpid());
  if (error != 0) {
    return fail(ErrorCode::kSystem, "make the veth " + name + ": " + nl_geterror(error));
  }
  const std::uint32_t index = if_nametoindex(name.c_str());
  if (index == 0) return fail_errno("index of the veth " + name);
  return index;
}

}  // namespace

Result<Devices> make_devices() {
  if (unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace (needs root)");
  const Socket socket(nl_socket_alloc(), nl_socket_free);
  if (!socket) return fail(ErrorCode::kExhausted, "netlink socket: out of memory");
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error != 0) {
    return fail(ErrorCode::kSystem, std::string("netlink socket: ") + nl_geterror(error));
  }
  Devices devices;
  for (const auto& [name, field] :
       {std::pair{"slbclient", &Devices::client}, {"slbbackend", &Devices::backend}, {"slbuplink", &Devices::uplink}}) {
    const auto index = make_device(socket.get(), name);
    if (!index) return fail_in("devices of the benchmark", index);
    devices.*field = *index;
  }
  return devices;
}

}  // namespace sluice::benchmark
