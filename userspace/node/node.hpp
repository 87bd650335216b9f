// SPDX-License-Identifier: Apache-2.0
// The node's loop: watch -> desired -> compile -> diff -> apply, and the attachments of pods.
//
// One thread, the event loop's, owns everything here. Level-triggered: every event only says that something may have
// changed; what is done follows from the desired state, the attachments and the maps as they are. Nothing is done on
// absence: without a valid desired state no map is written.
#pragma once

#include <deque>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "datapath/datapath.hpp"
#include "datapath/links.hpp"
#include "datapath/pod_devices.hpp"
#include "node/attachments.hpp"
#include "node/event_loop.hpp"
#include "node/reconciler.hpp"
#include "node/types.hpp"
#include "node/uplinks.hpp"
#include "store/allocations.hpp"
#include "store/store.hpp"

namespace sluice::node {

/// What a node is made of; all of it belongs to the node afterwards.
struct Parts {
  std::unique_ptr<store::Store> store;
  std::unique_ptr<store::Allocations> allocations;
  std::unique_ptr<datapath::Datapath> datapath;
  std::unique_ptr<datapath::PodDevices> devices;
  std::unique_ptr<datapath::LinkWatch> links;
};

class Node {
 public:
  /// The loop must outlive the node and must not run before start() nor while the node is destroyed.
  Node(EventLoop& loop, Parts parts, Options options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Repairs what the last run left, makes the maps right and begins to watch. Invalid manifests are no failure: the
  /// maps then stay as they are and status() says why.
  Status start();

  // From any thread but the loop's own, while the loop runs.

  /// Gives the pod's namespace its interface. When it returns, the maps hold it and it is durable. The same namespace
  /// again: the same answer. kNotFound: unknown pod or path; kExists: the pod lives in another namespace, or the
  /// namespace has such an interface; kPrecondition: there is no valid desired state yet.
  Result<AttachReply> attach(const AttachRequest& request);
  /// Takes the pod out of rotation, then removes its device. The address stays the pod's. Fine if it is not attached.
  Status detach(const model::Name& pod);
  Result<NodeStatus> status();

  // On the loop's thread.

  /// Reads the manifests again now (SIGHUP).
  void reload();

 private:
  /// Runs `work` on the loop's thread and waits for what it gives.
  template <typename T, typename Work>
  Result<T> on_loop(Work work);

  Status begin_watching();
  void store_changed();
  void links_changed();
  bool follow_links();
  bool check_attachments();
  bool refresh_uplinks();
  void attach_programs_again();
  bool read_desired();
  Status take_newest();
  void forget_void_attachments();
  [[nodiscard]] bool has_old_network(const model::Name& pod, const model::Attachment& attachment) const;

  struct Ending {
    model::Name pod;
    model::Attachment attachment;
    EventLoop::Clock::time_point since;
  };
  void take(const model::Name& pod, const char* cause);
  void input_changed();
  Status finish(const Ending& ending);
  void put_back(Ending ending);
  void finish_later();
  Status finish_now(const model::Name& pod);

  Status reconcile(Reconciler::Input kind = Reconciler::Input::kNew);
  Status reconcile_at_once(Reconciler::Input kind = Reconciler::Input::kNew);
  void retry_later();
  void retry();
  void verify();
  /// Attaching or detaching happened a moment ago; what blocks the loop and can wait should.
  [[nodiscard]] bool busy() const;
  void schedule_settle();
  void settle();
  void set_error(std::string& slot, const std::string& message, const char* event);

  Result<AttachReply> attach_now(const AttachRequest& request, const UniqueFd& netns, std::uint64_t cookie);
  Result<std::optional<AttachReply>> existing(const AttachRequest& request, const UniqueFd& netns,
                                              std::uint64_t cookie);
  Result<AttachReply> attach_new(const AttachRequest& request, const UniqueFd& netns, std::uint64_t cookie);
  Result<datapath::PodDevice> device_of(const AttachRequest& request);
  AttachReply reply_of(const model::Name& pod, const model::Attachment& attachment) const;
  Status detach_now(const model::Name& pod);
  NodeStatus status_now() const;
  std::vector<ServiceStatus> service_status() const;
  [[nodiscard]] compile::Input input() const;
  [[nodiscard]] bool has_pod(const model::Name& pod) const;

  EventLoop& loop_;
  Parts parts_;
  Options options_;
  Reconciler reconciler_;
  AttachmentBook book_;
  Uplinks uplinks_;

  std::optional<store::Snapshot> desired_;  ///< the last good state, with assignments_ for it
  model::Assignments assignments_;
  std::deque<Ending> endings_;         ///< out of the book, their devices not removed yet
  std::deque<Ending> failed_endings_;  ///< those that could not be removed, until put_back_timer_
  std::chrono::milliseconds put_back_delay_{0};

  /// The maps hold what input() asks for, but for the attachments of touched_. Whoever changes anything else that goes
  /// into input() sets it to false.
  bool synced_ = false;
  std::set<model::Name> touched_;  ///< pods whose attachment began or ended since the maps were right
  std::uint64_t applied_revision_ = 0;
  std::string state_error_;  ///< what is wrong with the newest state
  std::string map_error_;    ///< why the maps do not hold desired_
  bool read_again_ = false;  ///< the state could not be taken for a reason that may go by itself
  bool links_lost_ = false;  ///< what has changed about devices could not be read
  EventLoop::TimerId debounce_timer_ = 0;
  EventLoop::Clock::time_point debounce_end_;  ///< of the longest wait, while debounce_timer_ runs
  EventLoop::TimerId retry_timer_ = 0;
  EventLoop::TimerId settle_timer_ = 0;
  EventLoop::TimerId finish_timer_ = 0;
  EventLoop::TimerId put_back_timer_ = 0;
  EventLoop::TimerId verify_timer_ = 0;
  std::chrono::milliseconds retry_delay_{0};
  std::optional<EventLoop::Clock::time_point> last_request_;  ///< to attach or detach
  int verify_delays_ = 0;
};

}  // namespace sluice::node
