// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "api/client.hpp"
#include "api/convert.hpp"
#include "api/socket_path.hpp"
#include "api/status_codes.hpp"
#include "base/fd.hpp"

namespace sluice::api {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-api-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

UniqueFd bound(const std::filesystem::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

v1::AttachPodRequest request() {
  v1::AttachPodRequest message;
  message.set_network("shop");
  message.set_name("web-1");
  message.set_netns("/run/netns/web-1");
  return message;
}

TEST(Requests, AreTakenWithTheStandardInterface) {
  const auto taken = from_message(request());
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->pod, (model::Name{"shop", "web-1"}));
  EXPECT_EQ(taken->netns, "/run/netns/web-1");
  EXPECT_EQ(taken->interface, "eth0");
}

TEST(Requests, AreRefusedWithTheNameOfTheWrongField) {
  const auto refused = [](auto change) {
    v1::AttachPodRequest message = request();
    change(message);
    const auto taken = from_message(message);
    EXPECT_FALSE(taken);
    EXPECT_EQ(taken ? ErrorCode::kSystem : taken.error().code, ErrorCode::kInvalid);
    return taken ? std::string() : taken.error().message.substr(0, taken.error().message.find(':'));
  };
  EXPECT_EQ(refused([](auto& m) { m.set_network(""); }), "network");
  EXPECT_EQ(refused([](auto& m) { m.set_network(std::string(64, 'a')); }), "network");
  EXPECT_EQ(refused([](auto& m) { m.set_name(""); }), "name");
  EXPECT_EQ(refused([](auto& m) { m.set_name(std::string(64, 'a')); }), "name");
  EXPECT_EQ(refused([](auto& m) { m.set_netns(""); }), "netns");
  EXPECT_EQ(refused([](auto& m) { m.set_netns("run/netns/a"); }), "netns");
  EXPECT_EQ(refused([](auto& m) { m.set_netns("/" + std::string(4096, 'a')); }), "netns");
  EXPECT_EQ(refused([](auto& m) { m.set_netns(std::string("/a\0b", 4)); }), "netns");
  EXPECT_EQ(refused([](auto& m) { m.set_interface(std::string(64, 'a')); }), "interface");
}

TEST(Requests, TakeNamesAndPathsOfTheGreatestLength) {
  v1::AttachPodRequest message = request();
  message.set_name(std::string(63, 'a'));
  message.set_netns("/" + std::string(4095, 'a'));
  EXPECT_TRUE(from_message(message));
}

TEST(Requests, ToDetachHaveAGraceOfNoMoreThanADay) {
  v1::DetachPodRequest message;
  message.set_network("shop");
  message.set_name("web-1");
  EXPECT_EQ(from_message(message).value().grace, std::chrono::milliseconds(0));
  message.set_grace_milliseconds(86'400'000);
  EXPECT_EQ(from_message(message).value().grace, std::chrono::hours(24));
  for (const std::int64_t grace : {std::int64_t{-1}, std::int64_t{86'400'001}, INT64_MIN, INT64_MAX}) {
    message.set_grace_milliseconds(grace);
    const auto refused = from_message(message);
    ASSERT_FALSE(refused);
    ASSERT_EQ(refused.error().details.size(), 1U);
    EXPECT_EQ(refused.error().details[0].resource, "pod shop/web-1");
    EXPECT_EQ(refused.error().details[0].field, "grace");
    EXPECT_EQ(refused.error().details[0].value, std::to_string(grace));
    EXPECT_EQ(refused.error().details[0].remedy, "choose 1ms to 24h");
  }
}

TEST(StatusCodes, GoThereAndBack) {
  for (const ErrorCode code : {ErrorCode::kInvalid, ErrorCode::kNotFound, ErrorCode::kExists, ErrorCode::kPrecondition,
                               ErrorCode::kUnsupported, ErrorCode::kPermission, ErrorCode::kExhausted,
                               ErrorCode::kUnavailable, ErrorCode::kSystem}) {
    const grpc::Status status = to_grpc(Error{code, "what happened"});
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status.error_message(), "what happened");
    EXPECT_EQ(from_grpc(status).code, code) << name(code);
  }
}

TEST(SocketPath, ReplacesASocketOnWhichNobodyListens) {
  const Folder folder;
  const auto path = folder.path() / "sluice.sock";
  {
    const UniqueFd dead = bound(path);
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_TRUE(clear_socket_path(path));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(SocketPath, LeavesASocketOnWhichSomebodyListens) {
  const Folder folder;
  const auto path = folder.path() / "sluice.sock";
  const UniqueFd live = bound(path);
  ASSERT_EQ(::listen(live.get(), 1), 0);
  const auto cleared = clear_socket_path(path);
  ASSERT_FALSE(cleared);
  EXPECT_EQ(cleared.error().code, ErrorCode::kPrecondition);
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(SocketPath, LeavesAnythingThatIsNoSocket) {
  const Folder folder;
  const auto path = folder.path() / "sluice.sock";
  std::ofstream(path) << "precious";
  const auto cleared = clear_socket_path(path);
  ASSERT_FALSE(cleared);
  EXPECT_EQ(cleared.error().code, ErrorCode::kExists);
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(SocketPath, MakesItsFolder) {
  const Folder folder;
  ASSERT_TRUE(clear_socket_path(folder.path() / "run" / "sluice.sock"));
  struct stat info{};
  ASSERT_EQ(::stat((folder.path() / "run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755U);
}

TEST(SocketPath, RefusesWhatIsTooLongOrRelative) {
  EXPECT_TRUE(check_socket_path("/" + std::string(106, 'a')));
  EXPECT_FALSE(check_socket_path("/" + std::string(107, 'a')));
  EXPECT_FALSE(check_socket_path("sluice.sock"));
}

TEST(Client, SaysWhichSocketDoesNotAnswer) {
  const Folder folder;
  const auto path = folder.path() / "nobody.sock";
  auto client = Client::open(path, std::chrono::seconds(5));
  ASSERT_TRUE(client) << client.error().message;
  const auto status = (*client)->status();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(status.error().message.find(path.string()), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace sluice::api
