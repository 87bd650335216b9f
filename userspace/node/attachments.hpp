// SPDX-License-Identifier: Apache-2.0
// Which pod is attached where: in memory for compile(), durable in the node's records, as devices in the kernel.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "datapath/links.hpp"
#include "datapath/namespaces.hpp"
#include "datapath/pod_devices.hpp"
#include "model/assignments.hpp"
#include "store/node_records.hpp"

namespace sluice::node {

/// The owner of all attachments of this node.
///
/// What a crash leaves is repaired by restore(): a device without a record is removed, a record without its device is
/// forgotten. So the record may be written any time before the caller is told that the pod is attached.
class AttachmentBook {
 public:
  /// All must outlive the book.
  AttachmentBook(store::NodeRecords& records, datapath::Datapath& datapath, datapath::PodDevices& devices)
      : records_(records), datapath_(datapath), devices_(devices) {}

  /// At start: takes over the records whose device is still there, and removes what a crash or a reboot left: other
  /// records, and devices with this daemon's mark that no record owns. Gives the pods whose program could not be put
  /// into its hook, for the caller to take out: without it their packets would enter the host's own stack.
  Result<std::vector<model::Name>> restore(const datapath::DeviceMark& mark);

  [[nodiscard]] const model::Attachments& all() const { return attachments_; }
  [[nodiscard]] const model::Attachment* find(const model::Name& pod) const;
  [[nodiscard]] std::optional<model::Name> by_ifindex(std::uint32_t ifindex) const;
  [[nodiscard]] std::optional<model::Name> by_cookie(std::uint64_t netns_cookie) const;

  /// Gives the namespace its interface. Not durable before record().
  Result<model::Attachment> attach(const model::Name& pod, const UniqueFd& netns, const datapath::PodDevice& device);
  /// Writes the attachment down for the next start.
  Status record(const model::Name& pod);
  /// When the attachment ends at the latest, from now on and after a restart; nothing: it stays. An error has changed
  /// nothing.
  Status set_leaving(const model::Name& pod, std::optional<std::int64_t> leaves_at);
  /// The pod's flows have been ended at this deadline of its drain. After an error a restart ends them once more.
  Status set_drained(const model::Name& pod, std::int64_t deadline);
  /// The host side of the pod's device has another name now.
  Status rename(const model::Name& pod, const std::string& device);

  /// Takes the attachment out of all(), so that the next reconcile ends it; finish() removes the rest afterwards,
  /// because that may wait for the kernel. The record goes last: while the device is there, so is its record.
  std::optional<model::Attachment> take(const model::Name& pod);
  Status finish(const model::Name& pod, const model::Attachment& attachment);

 private:
  Status drop_stale_records(const std::vector<datapath::LinkInfo>& links);
  Status remove_leftovers(const datapath::DeviceMark& mark);

  store::NodeRecords& records_;
  datapath::Datapath& datapath_;
  datapath::PodDevices& devices_;
  std::string boot_id_;
  model::Attachments attachments_;
};

/// True if the host has this very device: same index and same name.
Result<bool> device_lives(const model::Attachment& attachment);

}  // namespace sluice::node
