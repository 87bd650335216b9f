// SPDX-License-Identifier: Apache-2.0
#include "callers.hpp"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <utility>

#include "api/status_codes.hpp"
#include "store/manifest.hpp"

namespace sluice::api::testing {

UniqueFd connect_as(User user, const std::filesystem::path& socket) {
  UniqueFd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket.c_str(), socket.native().size());
  std::thread([&] {
    // The system calls themselves: glibc's functions change all threads.
    EXPECT_EQ(::syscall(SYS_setresgid, -1, user.gid, -1), 0);
    EXPECT_EQ(::syscall(SYS_setresuid, -1, user.uid, -1), 0);
    EXPECT_EQ(::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0)
        << std::strerror(errno);
  }).join();
  EXPECT_EQ(::fcntl(connection.get(), F_SETFL, O_NONBLOCK), 0);
  return connection;
}

Caller::Caller(User user, const std::filesystem::path& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // windows stay small: what is not read is not sent
  channel_ = grpc::CreateCustomInsecureChannelFromFd("caller", connect_as(user, socket).release(), arguments);
  resources_ = v1::ResourceService::NewStub(channel_);
  node_ = v1::NodeService::NewStub(channel_);
}

grpc::Status Caller::get() const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::GetRequest request;
  request.mutable_key()->set_kind(v1::NETWORK);
  request.mutable_key()->set_name("one");
  v1::Resource response;
  return resources_->Get(&context, request, &response);
}

Error Caller::error_of_get() const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::Resource response;
  return from_grpc(resources_->Get(&context, v1::GetRequest(), &response), context);
}

bool becomes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void ServerTest::SetUp() {
  NodeTest::SetUp();
  std::string name = (std::filesystem::temp_directory_path() / "sluice-server-XXXXXX").string();
  folder_ = ::mkdtemp(name.data());
  std::filesystem::permissions(folder_, std::filesystem::perms::others_exec | std::filesystem::perms::group_exec,
                               std::filesystem::perm_options::add);
  adjust_parts_ = [](node::Parts& parts) { parts.manifests.reset(); };
  start_node();
  put("kind: Network\nname: one\n");
}

ServerTest::~ServerTest() {
  server_.reset();
  node_.reset();
  std::filesystem::remove_all(folder_);
}

void ServerTest::start_node() {
  server_.reset();
  node_.reset();
  node_ = start();
}

void ServerTest::serve(const Limits& limits) {
  server_.reset();
  ServerOptions options;
  options.socket = {.path = socket(), .mode = 0666, .owner = {}, .group = {}};
  options.read_only_socket = {.path = reading_socket(), .mode = 0666, .owner = {}, .group = {}};
  options.version = "test";
  options.limits = limits;
  auto server = Server::start(node(), repository(), options);
  ASSERT_TRUE(server) << server.error().message;
  server_ = std::move(*server);
}

void ServerTest::put(const std::string& manifests) const {
  const auto declared = store::read_manifests({{"test.yaml", manifests}});
  ASSERT_TRUE(declared) << store::summarize(declared.error()).message;
  store::WriteRequest request;
  for (const store::Declared& one : declared->resources)
    request.edits.push_back({{model::key_of(one.resource), one.resource}, std::nullopt});
  const auto written = repository().write(std::move(request));
  ASSERT_TRUE(written) << written.error().message;
}

}  // namespace sluice::api::testing
