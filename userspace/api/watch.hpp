// SPDX-License-Identifier: Apache-2.0
// Watches: each follows the change feed at its own pace. A slow one holds nobody up, because nothing is queued for it:
// when it has taken what was sent, the next events are read from the store, however long ago they were. A snapshot is
// read page by page in the same way.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "api/limits.hpp"
#include "api/peer.hpp"
#include "api/sluice.grpc.pb.h"
#include "store/repository.hpp"

namespace sluice::api {

class WatchHub {
 public:
  /// Both must outlive the hub.
  WatchHub(store::Repository& repository, const Limits& limits);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  /// A reactor for one call; gRPC ends its life.
  grpc::ServerWriteReactor<v1::WatchResponse>* open(grpc::CallbackServerContext& context,
                                                    const v1::WatchRequest& request, const Peer& peer);
  /// Ends all watches with UNAVAILABLE and takes no more; clients resume elsewhere or later.
  void stop();

 private:
  class Watch;
  void run();
  [[nodiscard]] Status check_room(const Peer& peer) const;

  store::Repository& repository_;
  const Limits& limits_;
  store::Repository::Subscription subscription_;
  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  std::set<std::shared_ptr<Watch>> watches_;
  std::uint64_t newest_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sluice::api
