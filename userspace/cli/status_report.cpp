// SPDX-License-Identifier: Apache-2.0
#include "cli/status_report.hpp"

#include <ostream>

#include "cli/records.hpp"
#include "model/times.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

Json address_json(const v1::EgressAddressStatus& egress) {
  return {{"address", egress.address()},
          {"shared", egress.shared()},
          {"first_port", egress.first_port()},
          {"last_port", egress.last_port()}};
}

Json egress_json(const v1::EgressStatus& egress) {
  return {{"device", egress.device()},
          {"ifindex", egress.ifindex() != 0 ? Json(egress.ifindex()) : Json()},
          {"address4", egress.has_address4() ? address_json(egress.address4()) : Json()},
          {"address6", egress.has_address6() ? address_json(egress.address6()) : Json()},
          {"flows_per_pod", egress.flows_per_pod()}};
}

/// In one word what becomes of the pod's flows.
std::string pod_state(const v1::NodePodStatus& pod) {
  if (pod.detaches_at() != 0) return "detaching";
  return !pod.draining() ? "running" : pod.drained() ? "drained" : "draining";
}

Json moment(std::int64_t milliseconds) {
  return milliseconds != 0 ? Json(model::moment_text(milliseconds)) : Json();
}

/// The same with the deadline.
std::string pod_state_text(const v1::NodePodStatus& pod) {
  const std::int64_t until = pod.detaches_at() != 0 ? pod.detaches_at() : pod.drained() ? 0 : pod.drain_deadline();
  return pod_state(pod) + (until != 0 ? " until " + model::moment_text(until) : "");
}

Json status_json(const v1::GetStatusResponse& status) {
  Json json = {
      {"version", status.version()},
      {"revision", status.revision()},
      {"synced", status.synced()},
      {"last_error", status.last_error()},
      {"writes", status.writes()},
      {"write_failures", status.write_failures()},
      {"reconciles", status.reconciles()},
      {"drifts", status.drifts()},
      {"last_reconcile_microseconds", status.last_reconcile_microseconds()},
      {"tcx", status.tcx()},
      {"log_level", status.log_level()},
      {"pod_mtu", status.pod_mtu()},
      {"egress", status.has_egress() ? egress_json(status.egress()) : Json()},
      {"store",
       {{"uuid", status.store().uuid()},
        {"epoch", status.store().epoch()},
        {"revision", status.store().revision()},
        {"compacted", status.store().compacted()},
        {"manifests", status.store().manifests()},
        {"refuses_writes", status.store().refuses_writes()}}},
      {"warnings", Json::array()},
      {"uplinks", Json::array()},
      {"pods", Json::array()},
      {"services", Json::array()},
  };
  for (const std::string& warning : status.warnings()) json["warnings"].push_back(warning);
  for (const v1::UplinkStatus& uplink : status.uplinks()) {
    const bool present = uplink.ifindex() != 0;
    json["uplinks"].push_back({{"device", uplink.device()},
                               {"ifindex", present ? Json(uplink.ifindex()) : Json()},
                               {"mtu", present ? Json(uplink.mtu()) : Json()}});
  }
  for (const v1::NodePodStatus& pod : status.pods()) {
    json["pods"].push_back({{"network", pod.network()},
                            {"name", pod.name()},
                            {"address", pod.address4()},
                            {"address6", pod.address6()},
                            {"attached", pod.attached()},
                            {"device", pod.device()},
                            {"state", pod_state(pod)},
                            {"drain_deadline", moment(pod.drain_deadline())},
                            {"detaches_at", moment(pod.detaches_at())}});
  }
  for (const v1::NodeServiceStatus& service : status.services()) {
    json["services"].push_back({{"network", service.network()},
                                {"name", service.name()},
                                {"address", service.address4()},
                                {"address6", service.address6()},
                                {"floating_ip", service.floating_ip()},
                                {"backends", service.backends()},
                                {"ready", service.ready()}});
  }
  return json;
}

void print_store(const v1::StoreStatus& store, std::ostream& out) {
  out << "store:           revision " << store.revision() << ", epoch " << store.epoch() << ", "
      << or_dash(printable(store.uuid())) << '\n';
  if (!store.manifests().empty()) out << "manifests:       " << printable(store.manifests()) << '\n';
  if (!store.refuses_writes().empty()) out << "refuses writes:  " << printable(store.refuses_writes()) << '\n';
}

std::string egress_text(const v1::EgressAddressStatus& egress) {
  return printable(egress.address()) + " ports " + std::to_string(egress.first_port()) + "-" +
         std::to_string(egress.last_port()) + (egress.shared() ? " (the node's own)" : "");
}

void print_egress(const v1::EgressStatus& egress, std::ostream& out) {
  out << "egress:          " << printable(egress.device());
  if (egress.has_address4()) out << ", " << egress_text(egress.address4());
  if (egress.has_address6()) out << ", " << egress_text(egress.address6());
  out << (egress.has_address4() || egress.has_address6() ? "" : ", no pod leaves") << '\n';
}

void print_summary(const v1::GetStatusResponse& status, std::ostream& out) {
  out << "version:         " << printable(status.version()) << '\n'
      << "revision:        " << status.revision() << '\n'
      << "synced:          " << (status.synced() ? "yes" : "no") << '\n'
      << "last error:      " << or_dash(printable(status.last_error())) << '\n'
      << "map writes:      " << status.writes() << " (" << status.write_failures() << " failed)\n"
      << "reconciliations: " << status.reconciles() << " (last " << status.last_reconcile_microseconds() << " us, "
      << status.drifts() << " found foreign changes)\n"
      << "attachment:      " << (status.tcx() ? "tcx" : "clsact") << '\n'
      << "log level:       " << or_dash(printable(status.log_level())) << '\n'
      << "pod MTU:         " << status.pod_mtu() << '\n';
  if (status.has_egress()) print_egress(status.egress(), out);
  print_store(status.store(), out);
  for (const std::string& warning : status.warnings()) out << "warning:         " << printable(warning) << '\n';
}

Report uplinks_table(const v1::GetStatusResponse& status) {
  Report report;
  report.columns = {{"UPLINK"}, {"IFINDEX", Align::kRight}, {"MTU", Align::kRight}};
  for (const v1::UplinkStatus& uplink : status.uplinks()) {
    const bool present = uplink.ifindex() != 0;
    report.rows.push_back({uplink.device(), present ? std::to_string(uplink.ifindex()) : "missing",
                           present ? std::to_string(uplink.mtu()) : "-"});
  }
  return report;
}

Report pods_table(const v1::GetStatusResponse& status) {
  Report report;
  report.columns = {{"POD"}, {"ADDRESS"}, {"ATTACHED"}, {"STATE"}, {"DEVICE"}};
  for (const v1::NodePodStatus& pod : status.pods()) {
    report.rows.push_back({pod.network() + "/" + pod.name(), addresses_cell(pod.address4(), pod.address6()),
                           pod.attached() ? "yes" : "no", pod_state_text(pod), or_dash(pod.device())});
  }
  return report;
}

Report services_table(const v1::GetStatusResponse& status) {
  Report report;
  report.columns = {{"SERVICE"}, {"ADDRESS"}, {"FLOATING-IP"}, {"BACKENDS", Align::kRight}, {"READY", Align::kRight}};
  for (const v1::NodeServiceStatus& service : status.services()) {
    report.rows.push_back({service.network() + "/" + service.name(),
                           addresses_cell(service.address4(), service.address6()), or_dash(service.floating_ip()),
                           std::to_string(service.backends()), std::to_string(service.ready())});
  }
  return report;
}

}  // namespace

void print_status(const v1::GetStatusResponse& status, Format format, std::ostream& out) {
  if (format == Format::kJson) {
    Report report;
    report.document = status_json(status);
    print(report, format, out);
    return;
  }
  print_summary(status, out);
  for (const Report& table : {uplinks_table(status), pods_table(status), services_table(status)}) {
    out << '\n';
    print(table, format, out);
  }
}

}  // namespace sluice::cli
