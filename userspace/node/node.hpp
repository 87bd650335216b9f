// SPDX-License-Identifier: Apache-2.0
// The node's loop: watch -> desired -> compile -> diff -> apply, and the attachments of pods.
//
// One thread, the event loop's, owns everything here. Level-triggered: every event only says that something may have
// changed; what is done follows from the desired state, the attachments and the maps as they are. Nothing is done on
// absence: without a desired state, or with maps that another store has made, no map is written.
#pragma once

#include <deque>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "datapath/addresses.hpp"
#include "datapath/datapath.hpp"
#include "datapath/links.hpp"
#include "datapath/pod_devices.hpp"
#include "node/attachments.hpp"
#include "node/deadlines.hpp"
#include "node/egress.hpp"
#include "node/event_loop.hpp"
#include "node/events.hpp"
#include "node/manifest_follower.hpp"
#include "node/reconciler.hpp"
#include "node/types.hpp"
#include "node/uplinks.hpp"
#include "store/manifest_store.hpp"
#include "store/node_records.hpp"
#include "store/repository.hpp"

namespace sluice::node {

/// What a node is made of; all of it belongs to the node afterwards.
struct Parts {
  std::unique_ptr<store::Repository> repository;
  std::unique_ptr<store::ManifestStore> manifests;  ///< nullptr: the state comes by the API
  std::unique_ptr<store::NodeRecords> records;
  std::unique_ptr<datapath::Datapath> datapath;
  std::unique_ptr<datapath::PodDevices> devices;
  std::unique_ptr<datapath::LinkWatch> links;
  std::unique_ptr<datapath::AddressWatch> addresses;
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
  /// Takes the pod out of rotation, then removes its device: at once, or with a grace as soon as no flow through a
  /// service or a floating IP leads to it any more, but no later than the grace ends. Then whatever flows it has end.
  /// The address stays the pod's. Fine if it is not attached. Once more: the new grace counts, as of now.
  Result<DetachReply> detach(const DetachRequest& request);
  Result<NodeStatus> status();
  /// What is known of one resource here. kNotFound.
  Result<Description> describe(const model::Key& key);
  /// True as soon as the maps hold that revision of the store, false if they do not after `wait`.
  bool wait_applied(std::uint64_t revision, std::chrono::milliseconds wait);
  /// Takes the store as right although the maps were made by another one, or by a later state of it. Gives why they
  /// were held; empty if they were not.
  Result<std::string> adopt_store();
  /// Why callers may change no resource: the maps are held, or a folder of manifests says what there is and would undo
  /// the change. Empty: they may. The folder's own writes do not ask.
  [[nodiscard]] std::string refuses_changes() const;
  [[nodiscard]] store::Repository& repository() const { return *parts_.repository; }

  // On the loop's thread.

  /// Answers all who wait in wait_applied(): the loop has ended, and nothing will be applied any more.
  void end_waits();
  /// Reads the manifests, if there are any, and what is new in the store (SIGHUP).
  void reload();
  /// Timeouts, sweep and refusals from now on; the maps get them at once, or as soon as they can be written.
  void change_settings(const sluice_settings& settings);
  /// How the MTU of pods is chosen from now on; those that are attached get it at once.
  void change_mtu(const MtuPolicy& policy);
  /// How pods leave for the public side from now on; nothing: not at all.
  void change_egress(std::optional<EgressConfig> config);
  /// Where floating IPs are allocated from; those that exist stay. reload() afterwards judges the manifests anew.
  void change_pools(const std::vector<model::Pool>& pools);

 private:
  /// Runs `work` on the loop's thread and waits for what it gives.
  template <typename T, typename Work>
  Result<T> on_loop(Work work);

  Status begin_watching();
  Status follow_manifests();
  Status check_mark();
  void store_changed();
  void links_changed();
  bool follow_links();
  bool check_attachments();
  bool refresh_uplinks();
  void addresses_changed();
  bool look_at_egress();
  bool decide_egress();
  void attach_programs_again();
  void follow_mtu();
  void follow_groups();
  void set_smallest_mtu(std::uint32_t mtu);
  bool read_manifests();
  bool take_updates();
  void take_in(store::Update update);
  void take_over_newest();
  void forget_void_attachments();
  [[nodiscard]] bool has_old_network(const model::Name& pod, const model::Attachment& attachment) const;
  void maps_are_right(std::size_t writes);
  void mark_maps();
  void answer_waiters();

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
  Result<DetachReply> detach_now(const DetachRequest& request);

  // node_drain.cpp
  void note_drain(const model::Name& pod);
  void note_drains();
  void schedule_deadlines();
  void deadlines_passed();
  void end_due_flows(const Now& now);
  void drains_are_done();
  Result<DetachReply> detach_later(const DetachRequest& request);
  Status stay(const model::Name& pod);
  bool end_due_attachments(const Now& now);
  bool end_idle_attachments();
  [[nodiscard]] bool is_drained(const model::Pod& pod) const;
  [[nodiscard]] Result<std::vector<std::uint64_t>> flows_to(const std::vector<model::Name>& pods) const;
  Result<Description> describe_now(const model::Key& key);
  void describe_in_network(const model::Key& key, Description& description) const;
  void add_backends(const model::Service& service, const model::Pod& pod, std::vector<BackendReport>& reports) const;
  [[nodiscard]] std::string unused_because(const model::Name& service, const model::Pod& pod,
                                           const model::ServicePort& port) const;
  void note(const model::Name& pod, Severity severity, const char* kind, std::string text);
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
  EgressFollower egress_;

  struct Desired {
    std::uint64_t revision = 0;
    model::State state;
    model::Assignments assignments;
  };
  std::optional<Desired> desired_;
  Deadlines drains_;   ///< of pods that drain, attached or not
  Deadlines leaving_;  ///< of attachments that end
  /// Pods whose flows the next write of the maps ends, with the deadline at which it had to be.
  std::map<model::Name, std::int64_t> ending_;
  EventLoop::Clock::time_point next_look_{};  ///< whether those that leave still have flows
  std::optional<ManifestFollower> follower_;
  EventLog events_;
  std::deque<Ending> endings_;         ///< out of the book, their devices not removed yet
  std::deque<Ending> failed_endings_;  ///< those that could not be removed, until put_back_timer_
  std::chrono::milliseconds put_back_delay_{0};

  /// The maps hold what input() asks for, but for pending_. Whoever changes anything else that goes into input() sets
  /// it to false.
  bool synced_ = false;
  model::Change pending_;  ///< of input(), since the maps were right
  std::uint64_t applied_revision_ = 0;
  std::multimap<std::uint64_t, std::shared_ptr<std::promise<bool>>> waiters_;  ///< by the revision that they wait for
  bool mark_due_ = false;      ///< the maps hold something else than their mark says
  std::string hold_;           ///< why no map is written although there is a state: another store's maps
  std::string state_error_;    ///< what is wrong with the manifests
  std::string mtu_problem_;    ///< why a pod's device does not have the MTU that it should have
  std::string group_problem_;  ///< why an uplink may not hear who asks for floating IPs
  std::string map_error_;      ///< why the maps do not hold desired_
  bool read_again_ = false;    ///< the manifests could not be taken for a reason that may go by itself
  bool links_lost_ = false;    ///< what has changed about devices could not be read
  EventLoop::TimerId retry_timer_ = 0;
  EventLoop::TimerId settle_timer_ = 0;
  EventLoop::TimerId finish_timer_ = 0;
  EventLoop::TimerId put_back_timer_ = 0;
  EventLoop::TimerId deadline_timer_ = 0;
  EventLoop::TimerId verify_timer_ = 0;
  std::chrono::milliseconds retry_delay_{0};
  std::optional<EventLoop::Clock::time_point> last_request_;  ///< to attach or detach
  int verify_delays_ = 0;
};

}  // namespace sluice::node
