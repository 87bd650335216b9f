// SPDX-License-Identifier: Apache-2.0
#include "wire/findings.hpp"

#include <utility>

#include "model/names.hpp"
#include "model/validate.hpp"

namespace sluice::wire {
namespace {

constexpr std::size_t kShownMessages = 20;
constexpr std::size_t kLongestAddress = 64;

}  // namespace

void Findings::add(std::string_view field, std::string_view value, std::string_view problem, std::string_view remedy) {
  if (error_.details.size() >= kMost) return;
  Detail detail{.resource = resource_,
                .field = std::string(field),
                .value = model::printable(value),
                .problem = std::string(problem),
                .remedy = std::string(remedy)};
  if (error_.details.size() < kShownMessages) {
    error_.message += (error_.message.empty() ? "" : "\n") + resource_ + ": " + detail.field + ": " + detail.problem +
                      "; " + detail.remedy;
  } else if (error_.details.size() == kShownMessages) {
    error_.message += "\nand more problems";
  }
  error_.details.push_back(std::move(detail));
}

namespace {

template <typename Address>
std::optional<Address> read_any_address(std::string_view field, const std::string& text, std::string_view family,
                                        std::string_view example, Findings& findings) {
  if (text.empty()) return std::nullopt;
  const bool short_enough = text.size() <= kLongestAddress;
  const Result<Address> parsed = short_enough ? Address::parse(text) : fail(ErrorCode::kInvalid, "");
  if (parsed) return *parsed;
  findings.add(field, text, model::in_quotes(text) + " is not an " + std::string(family) + " address",
               "write it like " + std::string(example));
  return std::nullopt;
}

template <typename Cidr>
std::optional<Cidr> read_any_prefix(std::string_view field, const std::string& text, std::string_view family,
                                    std::string_view example, Findings& findings) {
  if (text.empty()) return std::nullopt;
  const std::string remedy = "write it like " + std::string(example);
  if (text.size() > kLongestAddress || text.find('\0') != std::string::npos) {
    findings.add(field, text, model::in_quotes(text) + " is not an " + std::string(family) + " prefix", remedy);
    return std::nullopt;
  }
  const Result<Cidr> parsed = Cidr::parse(text);
  if (parsed) return *parsed;
  const std::string message = model::escaped(parsed.error().message);
  const std::size_t split = message.rfind("; ");
  const bool has_remedy = split != std::string::npos;
  findings.add(field, text, message.substr(0, split), has_remedy ? message.substr(split + 2) : remedy);
  return std::nullopt;
}

}  // namespace

std::optional<Ipv4> read_address(std::string_view field, const std::string& text, Findings& findings) {
  return read_any_address<Ipv4>(field, text, "IPv4", "172.16.0.2", findings);
}
std::optional<Ipv6> read_address6(std::string_view field, const std::string& text, Findings& findings) {
  return read_any_address<Ipv6>(field, text, "IPv6", "fd00:1::2", findings);
}
std::optional<Cidr4> read_prefix(std::string_view field, const std::string& text, Findings& findings) {
  return read_any_prefix<Cidr4>(field, text, "IPv4", "172.16.0.0/16", findings);
}
std::optional<Cidr6> read_prefix6(std::string_view field, const std::string& text, Findings& findings) {
  return read_any_prefix<Cidr6>(field, text, "IPv6", "fd00:1::/64", findings);
}

model::Families read_families(const google::protobuf::RepeatedField<int>& families, Findings& findings) {
  bool four = false;
  bool six = false;
  for (const int family : families) {
    bool& seen = family == v1::IPV4 ? four : six;
    const std::string number = std::to_string(family);
    if (family != v1::IPV4 && family != v1::IPV6) {
      findings.add("families", number, "family " + number + " is unknown", "use IPV4 (4) and IPV6 (6)");
    } else if (std::exchange(seen, true)) {
      findings.add("families", number, "IPv" + number + " stands twice", "name each family once");
    }
  }
  if (four && six) return model::Families::kDual;
  if (four) return model::Families::kIpv4;
  return six ? model::Families::kIpv6 : model::Families::kAll;
}

void write_families(model::Families families, google::protobuf::RepeatedField<int>& to) {
  if (families == model::Families::kAll) return;
  if (model::has_ipv4(families)) to.Add(v1::IPV4);
  if (model::has_ipv6(families)) to.Add(v1::IPV6);
}

std::uint16_t read_port(const std::string& field, std::uint32_t number, Findings& findings) {
  if (number <= 0xFFFF) return static_cast<std::uint16_t>(number);
  findings.add(field, std::to_string(number), std::to_string(number) + " is no port", "choose 1 to 65535");
  return 0;
}

model::Protocol read_protocol(const std::string& field, v1::Protocol protocol, Findings& findings) {
  if (protocol == v1::UDP) return model::Protocol::kUdp;
  if (protocol == v1::SCTP) return model::Protocol::kSctp;
  if (protocol != v1::TCP && protocol != v1::PROTOCOL_UNSPECIFIED) {
    const std::string number = std::to_string(static_cast<int>(protocol));
    findings.add(field, number, "protocol " + number + " is unknown", "use TCP (6), UDP (17) or SCTP (132)");
  }
  return model::Protocol::kTcp;
}

model::Name read_name(const std::string& network, const std::string& name) {
  return {network.empty() ? std::string(model::kDefaultNetwork) : network, name};
}

v1::Protocol to_message(model::Protocol protocol) {
  if (protocol == model::Protocol::kSctp) return v1::SCTP;
  return protocol == model::Protocol::kUdp ? v1::UDP : v1::PROTOCOL_UNSPECIFIED;
}

}  // namespace sluice::wire
