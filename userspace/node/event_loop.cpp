// SPDX-License-Identifier: Apache-2.0
#include "node/event_loop.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace sluice::node {

Result<std::unique_ptr<EventLoop>> EventLoop::open() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return fail_errno("epoll_create1");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return fail_errno("eventfd");
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wake)));
  auto watched = loop->watch(loop->wake_.get(), [] {});  // run() has drained it by then
  if (!watched) return std::unexpected(watched.error());
  return loop;
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}

Status EventLoop::watch(int fd, Task readable) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("watch a descriptor");
  watches_[fd] = std::make_shared<Task>(std::move(readable));
  return {};
}

void EventLoop::forget(int fd) {
  if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::at(Clock::time_point when, Task task) {
  const TimerId id = ++last_timer_;
  timers_.emplace(std::pair(when, id), std::move(task));
  return id;
}

void EventLoop::cancel(TimerId id) {
  std::erase_if(timers_, [id](const auto& timer) { return timer.first.second == id; });
}

bool EventLoop::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    posted_.push_back(std::move(task));
  }
  ring();
  return true;
}

Status EventLoop::run() noexcept {
  const Status outcome = run_until_stopped();
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  run_tasks();
  return outcome;
}

Status EventLoop::run_until_stopped() {
  while (!stopping_) {
    std::array<epoll_event, 16> events{};
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_milliseconds());
    if (count < 0 && errno != EINTR) return fail_errno("epoll_wait");
    // The bell before the tasks: rung in between it would be silenced with its task still waiting.
    silence();
    // Requests first: an attach must not wait behind a timer's work.
    run_tasks();
    for (int i = 0; i < count; ++i) {
      const auto found = watches_.find(events[static_cast<std::size_t>(i)].data.fd);
      if (found == watches_.end()) continue;  // forgotten by a callback before it
      const std::shared_ptr<Task> readable = found->second;
      (*readable)();
    }
    run_timers();
  }
  return {};
}

void EventLoop::stop() {
  stopping_ = true;
  ring();
}

int EventLoop::timeout_milliseconds() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, 60'000));
}

void EventLoop::run_timers() {
  const auto now = Clock::now();
  // A task may set a timer that is due at once; it waits for the next round, so that descriptors get their turn.
  std::vector<Task> due;
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    due.push_back(std::move(timers_.begin()->second));
    timers_.erase(timers_.begin());
  }
  for (const Task& task : due) task();
}

void EventLoop::run_tasks() {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const Task& task : tasks) task();
}

/// Only the wake-up counts; the number does not, and EAGAIN means that nobody rang.
void EventLoop::silence() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof(count));
}

void EventLoop::ring() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof(one));
}

}  // namespace sluice::node
