// SPDX-License-Identifier: Apache-2.0
#include "node/attachments.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "node/log.hpp"

namespace sluice::node {
namespace {

bool is_device(const datapath::LinkInfo& link, const model::Attachment& attachment) {
  return link.ifindex == attachment.ifindex && link.name == attachment.device;
}

}  // namespace

Result<bool> device_lives(const model::Attachment& attachment) {
  auto link = datapath::find_link(attachment.device);
  if (!link) return std::unexpected(link.error());
  return link->has_value() && is_device(**link, attachment);
}

Result<std::vector<model::Name>> AttachmentBook::restore(const datapath::DeviceMark& mark) {
  auto boot = datapath::boot_id();
  if (!boot) return std::unexpected(boot.error());
  boot_id_ = std::move(*boot);
  auto links = datapath::list_links();
  if (!links) return std::unexpected(links.error());
  if (auto dropped = drop_stale_records(*links); !dropped) return std::unexpected(dropped.error());
  std::vector<model::Name> without_program;
  for (const auto& [pod, attachment] : attachments_) {
    if (auto attached = datapath_.attach_pod(attachment.ifindex); !attached) {
      spdlog::error("event=program_missing pod={} device={} error={}", pod.text(), attachment.device,
                    quote(attached.error().message));
      without_program.push_back(pod);
    }
  }
  if (auto removed = remove_leftovers(mark); !removed) return std::unexpected(removed.error());
  return without_program;
}

Status AttachmentBook::drop_stale_records(const std::vector<datapath::LinkInfo>& links) {
  auto records = records_.attachments();
  if (!records) return std::unexpected(records.error());
  for (const store::StoredAttachment& record : *records) {
    const bool same_boot = record.boot_id == boot_id_;
    bool lives = same_boot && std::ranges::any_of(links, [&record](const datapath::LinkInfo& link) {
                   return is_device(link, record.attachment);
                 });
    // A list may lack a device; what this means for its pod is too much to take it at its word.
    if (same_boot && !lives) {
      auto asked = device_lives(record.attachment);
      if (!asked) return std::unexpected(asked.error());
      lives = *asked;
    }
    if (lives) {
      attachments_[record.pod] = record.attachment;
      continue;
    }
    spdlog::info("event=attachment_ended pod={} device={} cause={}", record.pod.text(), record.attachment.device,
                 same_boot ? "device_gone" : "reboot");
    if (auto removed = records_.remove_attachment(record.pod); !removed) return removed;
  }
  return {};
}

Status AttachmentBook::remove_leftovers(const datapath::DeviceMark& mark) {
  std::vector<std::uint32_t> keep;
  for (const auto& [pod, attachment] : attachments_) keep.push_back(attachment.ifindex);
  auto removed = datapath::remove_leftover_devices(mark, keep);
  if (!removed) return fail_in("remove leftover devices", removed);
  for (const std::string& device : *removed) spdlog::info("event=leftover_removed device={}", device);
  return {};
}

const model::Attachment* AttachmentBook::find(const model::Name& pod) const {
  const auto found = attachments_.find(pod);
  return found == attachments_.end() ? nullptr : &found->second;
}

std::optional<model::Name> AttachmentBook::by_ifindex(std::uint32_t ifindex) const {
  for (const auto& [pod, attachment] : attachments_) {
    if (attachment.ifindex == ifindex) return pod;
  }
  return std::nullopt;
}

std::optional<model::Name> AttachmentBook::by_cookie(std::uint64_t netns_cookie) const {
  for (const auto& [pod, attachment] : attachments_) {
    if (attachment.netns_cookie == netns_cookie) return pod;
  }
  return std::nullopt;
}

Result<model::Attachment> AttachmentBook::attach(const model::Name& pod, const UniqueFd& netns,
                                                 const datapath::PodDevice& device) {
  auto attachment = devices_.attach(netns, device);
  if (attachment) attachments_[pod] = *attachment;
  return attachment;
}

Status AttachmentBook::record(const model::Name& pod) {
  const model::Attachment* attachment = find(pod);
  if (attachment == nullptr) return fail(ErrorCode::kNotFound, "pod " + pod.text() + " is not attached");
  return records_.put_attachment({pod, *attachment, boot_id_});
}

Status AttachmentBook::set_leaving(const model::Name& pod, std::optional<std::int64_t> leaves_at) {
  const auto found = attachments_.find(pod);
  if (found == attachments_.end()) return fail(ErrorCode::kNotFound, "pod " + pod.text() + " is not attached");
  const auto before = std::exchange(found->second.leaves_at, leaves_at);
  auto recorded = record(pod);
  if (!recorded) found->second.leaves_at = before;
  return recorded;
}

Status AttachmentBook::set_drained(const model::Name& pod, std::int64_t deadline) {
  const auto found = attachments_.find(pod);
  if (found == attachments_.end()) return {};
  found->second.drained_at = deadline;
  return record(pod);
}

Status AttachmentBook::rename(const model::Name& pod, const std::string& device) {
  const auto found = attachments_.find(pod);
  if (found == attachments_.end() || found->second.device == device) return {};
  found->second.device = device;
  return record(pod);
}

std::optional<model::Attachment> AttachmentBook::take(const model::Name& pod) {
  auto node = attachments_.extract(pod);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

Status AttachmentBook::finish(const model::Name& pod, const model::Attachment& attachment) {
  if (auto detached = devices_.detach(attachment); !detached) {
    return fail_in("pod " + pod.text() + ", device " + attachment.device, detached);
  }
  if (auto removed = records_.remove_attachment(pod); !removed) return fail_in("pod " + pod.text(), removed);
  return {};
}

}  // namespace sluice::node
