// SPDX-License-Identifier: Apache-2.0
// What manifests must not hold. Every case names the whole message, because the message is what the user gets.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "store/manifest.hpp"

namespace sluice::store {
namespace {

std::vector<std::string> problems(const std::vector<ManifestFile>& files) {
  const auto manifest = parse_manifests(files);
  if (manifest) return {};
  std::vector<std::string> messages;
  for (const Error& error : manifest.error()) messages.push_back(error.message);
  return messages;
}

std::string only_problem(const std::string& text) {
  const std::vector<std::string> messages = problems({{"f.yaml", text}});
  if (messages.size() == 1) return messages.front();
  std::string all = std::to_string(messages.size()) + " problems";
  for (const std::string& message : messages) all += "\n" + message;
  return all;
}

struct Case {
  std::string name;
  std::string text;
  std::string message;
};

std::string case_name(const testing::TestParamInfo<Case>& tested) {
  return tested.param.name;
}

class Refused : public testing::TestWithParam<Case> {};

TEST_P(Refused, WithOneMessageThatNamesResourceFieldValueAndRemedy) {
  EXPECT_EQ(only_problem(GetParam().text), GetParam().message);
}

const std::string kPod = "kind: Pod\nname: a\n";
const std::string kService = "kind: Service\nname: s\nselector: {app: a}\n";
const std::string kNetwork = "kind: Network\nname: n\n";

INSTANTIATE_TEST_SUITE_P(
    Fields, Refused,
    testing::Values(
        Case{"UnknownFieldWithSuggestion", kPod + "lables: {app: web}\n",
             "f.yaml:3: pod default/a: lables: unknown field; did you mean 'labels'?"},
        Case{"UnknownFieldWithoutSuggestion", "kind: FloatingIP\nname: f\naddress: 192.0.2.1\nzzz: 1\n",
             "f.yaml:4: floating IP f: zzz: unknown field; known are: kind, name, labels, address, address6, pool"},
        Case{"UnknownFieldInAPort", kPod + "ports:\n- {name: http, prot: 80, port: 80}\n",
             "f.yaml:4: pod default/a: ports[0].prot: unknown field; did you mean 'port'?"},
        Case{"UnknownFieldInLimits", kNetwork + "limits: {max_flow: 3}\n",
             "f.yaml:3: network n: limits.max_flow: unknown field; did you mean 'max_flows'?"},
        Case{"UnknownKind", "kind: Pods\nname: a\n",
             "f.yaml:1: document: kind: 'Pods' is unknown; did you mean 'Pod'?"},
        Case{"KindInAnotherCase", "kind: floatingip\nname: a\n",
             "f.yaml:1: document: kind: 'floatingip' is unknown; did you mean 'FloatingIP'?"},
        Case{"MissingKind", "name: a\n", "f.yaml:1: document: kind: is missing; add it"},
        Case{"MissingName", "kind: Pod\n", "f.yaml:1: Pod: name: is missing; add it"},
        Case{"EmptyName", "kind: Pod\nname:\n",
             "f.yaml:2: Pod: name: is empty, must be a text; fill it in or remove the line"},
        Case{"DuplicateField", kPod + "state: running\nstate: draining\n",
             "f.yaml:4: pod default/a: state: stands twice, first on line 3; remove one"},
        Case{"DuplicateLabel", kPod + "labels: {app: a, app: b}\n",
             "f.yaml:3: pod default/a: labels.app: stands twice; remove one"},
        Case{"DuplicatePortName", kPod + "ports: [{name: x, port: 1}, {name: x, port: 2}]\n",
             "f.yaml:3: pod default/a: ports[1].name: 'x' stands twice; give each port its own name"},
        Case{"ListInsteadOfMapping", kPod + "labels: [a, b]\n",
             "f.yaml:3: pod default/a: labels: is a list, must be a mapping of names to values"},
        Case{"TextInsteadOfList", kPod + "ports: 80\n",
             "f.yaml:3: pod default/a: ports: is a single value, must be a list"},
        Case{"NumberInsteadOfPort", kPod + "ports: [80]\n",
             "f.yaml:3: pod default/a: ports[0]: is a single value, must be a mapping with the port's fields"},
        Case{"MappingInsteadOfText", kPod + "address4: {a: b}\n",
             "f.yaml:3: pod default/a: address4: is a mapping, must be a text"},
        Case{"ListInsteadOfLabelValue", kPod + "labels: {app: [a]}\n",
             "f.yaml:3: pod default/a: labels.app: is a list, must be a text; an empty value is \"\""},
        Case{"ListAsFieldName", kPod + "? [a, b]\n: c\n",
             "f.yaml:3: pod default/a: ?: a field's name is a list; write 'name: value'"},
        Case{"ListAsDocument", "- kind: Pod\n",
             "f.yaml:1: a document is a list, must be a mapping that begins with 'kind: ...'"},
        Case{"QuotedNumber", kService + "ports: [{port: \"80\"}]\n",
             "f.yaml:4: service default/s: ports[0].port: '80' is a text, must be a number, 1 to 65535; remove the "
             "quotes"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Values, Refused,
    testing::Values(
        Case{"PortZero", kService + "ports: [{port: 0}]\n",
             "f.yaml:4: service default/s: ports[0].port: '0' is not a whole number from 1 to 65535"},
        Case{"PortTooHigh", kService + "ports:\n  - port: 80\n  - port: 65536\n",
             "f.yaml:6: service default/s: ports[1].port: '65536' is not a whole number from 1 to 65535"},
        Case{"PortNegative", kPod + "ports: [{name: x, port: -1}]\n",
             "f.yaml:3: pod default/a: ports[0].port: '-1' is not a whole number from 1 to 65535"},
        Case{"PortOctal", kPod + "ports: [{name: x, port: 010}]\n",
             "f.yaml:3: pod default/a: ports[0].port: '010' is not a whole number from 1 to 65535"},
        Case{"PortFraction", kPod + "ports: [{name: x, port: 80.5}]\n",
             "f.yaml:3: pod default/a: ports[0].port: '80.5' is not a whole number from 1 to 65535"},
        Case{"PortBeyond64Bits", kPod + "ports: [{name: x, port: 18446744073709551696}]\n",
             "f.yaml:3: pod default/a: ports[0].port: '18446744073709551696' is not a whole number from 1 to 65535"},
        Case{"PortMissing", kService + "ports: [{name: http}]\n",
             "f.yaml:4: service default/s: ports[0].port: is missing; add a number, 1 to 65535"},
        Case{"TargetPortTooHigh", kService + "ports: [{port: 80, target_port: 70000}]\n",
             "f.yaml:4: service default/s: ports[0].target_port: '70000' is not a whole number from 1 to 65535"},
        Case{"TargetPortName", kService + "ports: [{port: 80, target_port: ht_tp}]\n",
             "f.yaml:4: service default/s: ports[0].target_port: 'ht_tp' is neither a number nor the name of a port; "
             "use 1 to 63 characters a-z, 0-9 and '-', not '-' first or last"},
        Case{"Protocol", kService + "ports: [{port: 80, protocol: tcp}]\n",
             "f.yaml:4: service default/s: ports[0].protocol: 'tcp' is unknown; did you mean 'TCP'?"},
        Case{"Algorithm", kService + "ports: [{port: 80}]\nalgorithm: hsah\n",
             "f.yaml:5: service default/s: algorithm: 'hsah' is unknown; did you mean 'hash'?"},
        Case{"Egress", kNetwork + "egress: gateway\n",
             "f.yaml:3: network n: egress: 'gateway' is unknown; known are: node, none"},
        Case{"PodState", kPod + "state: stopped\n",
             "f.yaml:3: pod default/a: state: 'stopped' is unknown; known are: running, draining"},
        Case{"DrainDeadline", kPod + "state: draining\ndrain_deadline: tomorrow\n",
             "f.yaml:4: pod default/a: drain_deadline: 'tomorrow' is no time; write it in UTC as RFC 3339 has it, e.g. "
             "2026-01-31T12:00:00Z"},
        Case{"DrainDeadlineWithoutADrain", kPod + "drain_deadline: 2026-01-31T12:00:00Z\n",
             "f.yaml:1: pod default/a: drain_deadline: the pod does not drain; set state: draining, or leave the "
             "deadline "
             "out"},
        Case{"CidrWithHostBits", kNetwork + "cidr4: 172.16.0.1/16\n",
             "f.yaml:3: network n: cidr4: '172.16.0.1/16' has host bits set; the prefix is 172.16.0.0/16"},
        Case{"CidrWithoutLength", kNetwork + "cidr4: 172.16.0.0\n",
             "f.yaml:3: network n: cidr4: '172.16.0.0' has no prefix length; write it like 172.16.0.0/16"},
        Case{"CidrOfIpv6", kNetwork + "cidr4: fd00::/64\n",
             "f.yaml:3: network n: cidr4: 'fd00::' is not an IPv4 address; write it like 172.16.0.2"},
        Case{"AddressShort", kPod + "address4: 172.16.1\n",
             "f.yaml:3: pod default/a: address4: '172.16.1' is not an IPv4 address; write it like 172.16.0.2"},
        Case{"AddressWithControlCharacters", kPod + "address4: \"1.2.3.4\\t\"\n",
             "f.yaml:3: pod default/a: address4: '1.2.3.4\\x09' is not an IPv4 address; write it like 172.16.0.2"},
        Case{"NameInUpperCase", "kind: Pod\nname: Web\n",
             "f.yaml:2: Pod: name: 'Web' is not a DNS label; use 1 to 63 characters a-z, 0-9 and '-', not '-' first "
             "or last"},
        Case{"NetworkName", "kind: Pod\nname: a\nnetwork: a/b\n",
             "f.yaml:3: Pod: network: 'a/b' is not a DNS label; use 1 to 63 characters a-z, 0-9 and '-', not '-' "
             "first or last"},
        Case{"NameWithControlCharacters", "kind: Pod\nname: \"a\\0\\e[31m\"\n",
             "f.yaml:2: Pod: name: 'a\\x00\\x1b[31m' is not a DNS label; use 1 to 63 characters a-z, 0-9 and '-', not "
             "'-' first or last"},
        Case{"LimitZero", kNetwork + "limits: {max_flows: 0}\n",
             "f.yaml:3: network n: limits.max_flows: '0' is not a whole number from 1 to 4294967295"},
        Case{"NoSelector", "kind: Service\nname: s\nports: [{port: 80}]\n",
             "f.yaml:1: service default/s: selector: is missing; name at least one label of the pods"},
        Case{"AffinityOfNoTime", kService + "ports: [{port: 80}]\naffinity: {timeout: 0}\n",
             "f.yaml:5: service default/s: affinity.timeout: '0' is not a whole number from 1 to 604800"},
        Case{"AffinityOfAMonth", kService + "ports: [{port: 80}]\naffinity: {timeout: 2592000}\n",
             "f.yaml:5: service default/s: affinity.timeout: '2592000' is not a whole number from 1 to 604800"},
        Case{"AffinityByCookie", kService + "ports: [{port: 80}]\naffinity: {cookie: id}\n",
             "f.yaml:5: service default/s: affinity.cookie: unknown field; known are: timeout"},
        Case{"NoPorts", kService, "f.yaml:1: service default/s: ports: is missing; declare at least one port"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Later, Refused,
    testing::Values(
        Case{"Router6", kNetwork + "router6: fd00::1\n",
             "f.yaml:3: network n: router6: is not supported yet; remove it"},
        Case{"Encryption", kNetwork + "encryption: required\n",
             "f.yaml:3: network n: encryption: is not supported yet; remove it"},
        Case{"NodeOfAPod", kPod + "node: a\n", "f.yaml:3: pod default/a: node: is not supported yet; remove it"},
        Case{"NodeField", kPod + "node: n1\n", "f.yaml:3: pod default/a: node: is not supported yet; remove it"},
        Case{"HealthCheck", kService + "ports: [{port: 80}]\nhealth_check: {}\n",
             "f.yaml:5: service default/s: health_check: is not supported yet; remove it"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Yaml, Refused,
    testing::Values(
        Case{"Anchor", "kind: Pod\nname: &n a\n",
             "f.yaml:2: anchors and aliases (& and *) are not allowed; write the value out"},
        Case{"AnchorOnAMapping", "kind: Pod\nname: a\nlabels: &l {app: web}\n",
             "f.yaml:3: anchors and aliases (& and *) are not allowed; write the value out"},
        Case{"Tag", "kind: Pod\nname: !!str a\n", "f.yaml:2: tags (like !!str) are not allowed; leave it out"},
        Case{"NulByte", std::string("kind: Pod\nname: a\0b\n", 20),
             "f.yaml:2: control character 0 is not allowed; remove it"},
        Case{"Escape", "kind: Pod\nname: \x1b[2J\n", "f.yaml:2: control character 27 is not allowed; remove it"},
        Case{"C1Control", "kind: Pod\nname: \xc2\x9b\n",
             "f.yaml:2: a control character (U+0080 to U+009F) is not allowed; remove it"},
        Case{"Latin1", "kind: Pod\n# caf\xe9\nname: a\n", "f.yaml:2: the text is not UTF-8; save it as UTF-8"},
        Case{"Utf8Overlong", "# \xc0\xaf\n", "f.yaml:1: the text is not UTF-8; save it as UTF-8"},
        Case{"Utf8CutOff", "# \xe2\x82", "f.yaml:1: the text is not UTF-8; save it as UTF-8"},
        Case{"LoneComma", "# x\n---\n,,,kind: Pod\nname: b\n",
             "f.yaml:2: not valid YAML: something stands beside the document; is a '---' line missing?"},
        Case{"LoneBracket", "]\n", "f.yaml:1: not valid YAML: illegal flow end"},
        Case{"DocumentAfterAnEndMarker", "kind: Pod\nname: a\n...\nkind: Pod\nname: b\n",
             "f.yaml:1: not valid YAML: something stands beside the document; is a '---' line missing?"},
        Case{"DeepFlowLists", "kind: Pod\nname: " + std::string(100, '[') + std::string(100, ']') + "\n",
             "f.yaml:2: nested deeper than 16 levels; no resource is that deep"}),
    case_name);

TEST(ManifestRefusal, NamesBothPlacesOfADuplicateAcrossFiles) {
  const auto messages = problems({{"a.yaml", kPod}, {"b.yaml", "\n" + kPod}});
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0],
            "b.yaml:2: pod default/a: name: is declared twice, first at a.yaml:1; remove one or rename it");
}

TEST(ManifestRefusal, ReportsAPortClashOnAFloatingIpAtTheLaterServicesPlace) {
  const std::string text = R"(kind: FloatingIP
name: public
address: 203.0.113.10
---
kind: Network
name: shop
---
kind: Network
name: blog
---
kind: Service
network: shop
name: web
selector: {app: web}
floating_ip: public
ports: [{port: 80}]
---
kind: Service
network: blog
name: front
selector: {app: front}
floating_ip: public
ports: [{port: 80}]
)";
  EXPECT_EQ(only_problem(text),
            "f.yaml:11: service shop/web: ports: 80/TCP on floating IP 203.0.113.10 is taken by service blog/front; "
            "choose another port or floating IP");
}

TEST(ManifestRefusal, ReportsAllProblemsOfAllFilesAtOnce) {
  const auto messages = problems({{"a.yaml", "kind: Pod\nname: A\nstate: x\nnope: 1\n"},
                                  {"b.yaml", "kind: Pod\nname: b\n---\nkind: [\n"},
                                  {"c.yaml", "kind: FloatingIP\nname: c\naddress: nowhere\n"}});
  EXPECT_EQ(messages.size(), 5U);
  EXPECT_EQ(std::ranges::count_if(messages, [](const auto& m) { return m.starts_with("b.yaml:"); }), 1);
}

TEST(ManifestRefusal, NamesWhatIsWrongWithWeightsFloatingIpsAndNodes) {
  EXPECT_EQ(only_problem("kind: Pod\nname: a\nweight: 257\n"),
            "f.yaml:3: pod default/a: weight: '257' is not a whole number from 0 to 256");
  EXPECT_EQ(only_problem("kind: FloatingIP\nname: f\n"),
            "f.yaml:1: floating IP f: address: is missing; add it or address6, or name a pool to get one from");
  EXPECT_EQ(only_problem("kind: FloatingIP\nname: f\naddress: 0.0.0.0\n"),
            "f.yaml:3: floating IP f: address: 0.0.0.0 is no unicast address; choose an address of the public side");
  EXPECT_EQ(only_problem("kind: FloatingIP\nname: f\npool: \"\"\n"),
            "f.yaml:3: floating IP f: pool: is empty; fill it in or remove the line");
  EXPECT_EQ(only_problem("kind: Node\nname: n\nunderlay4: here\n"),
            "f.yaml:3: node n: underlay4: 'here' is not an IPv4 address; write it like 172.16.0.2");
  EXPECT_EQ(only_problem("kind: Node\nname: n\npublic_key: abc\n"),
            "f.yaml:1: node n: public_key: 'abc' is no WireGuard key; give 32 bytes in base64, as wg pubkey prints");
}

TEST(ManifestRefusal, RefusesMalformedYamlWithItsLine) {
  for (const std::string text : {"kind: Pod\nname: [a\n", "kind: Pod\n\tname: a\n", "kind: Pod\nname: a: b\n",
                                 "kind: 'Pod\n", "kind: Pod\n name: a\n", "%YAML 1.2\n---\nkind: Pod\nname: a\n",
                                 "kind: @\n", "kind: {]}\n", "\xfe\xff", "kind: Pod\nname: *a\n"}) {
    const std::string problem = only_problem(text);
    EXPECT_TRUE(problem.starts_with("f.yaml:")) << text << " gives " << problem;
  }
}

std::string repeat(std::string_view text, std::size_t bytes) {
  std::string result;
  while (result.size() + text.size() <= bytes) result += text;
  return result;
}

std::string growing_indent(std::size_t levels) {
  std::string result;
  for (std::size_t i = 0; i < levels; i++) result += std::string(i, ' ') + "a:\n";
  return result;
}

std::string many_labels(std::size_t count) {
  std::string result = "kind: Pod\nname: a\nlabels:\n";
  for (std::size_t i = 0; i < count; i++) result += "  k" + std::to_string(i) + ": v\n";
  return result;
}

TEST(ManifestRefusal, SurvivesBombsInBoundedTime) {
  constexpr std::size_t kFile = kMaxYamlBytes - 100;
  constexpr std::size_t kDocument = kMaxYamlDocumentBytes - 100;
  const std::vector<std::string> bombs = {
      repeat("[", kFile),
      repeat("[\n", kFile),
      repeat("[\n---\n", kFile),
      repeat("---\nkind: X\n", kFile),
      repeat("\n", kFile) + "x",
      repeat("!", kFile),
      repeat("[", kDocument),
      repeat("[\n", kDocument),
      repeat("{a: ", kDocument),
      repeat("? ", kDocument),
      repeat("- ", kDocument),
      repeat("\"a\" ", kDocument),
      "[" + repeat("a,", kDocument) + "]",
      "a: \"" + repeat("x", kDocument),
      "a: |\n " + repeat("x\n ", kDocument),
      repeat("!", kDocument),
      growing_indent(600),
      many_labels(20000),
      "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
  };
  for (std::size_t i = 0; i < bombs.size(); i++) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(problems({{"bomb.yaml", bombs[i]}}).empty()) << "bomb " << i;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << "bomb " << i;
  }
}

TEST(ManifestRefusal, RefusesADocumentAboveItsLimitAndNamesItsLine) {
  EXPECT_EQ(only_problem("kind: Network\nname: n\n---\n# " + std::string(kMaxYamlDocumentBytes, 'x')),
            "f.yaml:3: a document has 262150 bytes; at most 262144 are allowed, so is a '---' line missing?");
}

TEST(ManifestRefusal, RefusesAFileAboveTheSizeLimit) {
  const std::string problem = only_problem(std::string(kMaxYamlBytes + 1, '#'));
  EXPECT_EQ(problem, "f.yaml: the file has 16777217 bytes; at most 16777216 are allowed, so split it");
}

TEST(ManifestRefusal, StopsAfterAThousandProblems) {
  std::string text;
  for (int i = 0; i < 5000; i++) text += "---\nkind: X\n";
  EXPECT_EQ(problems({{"f.yaml", text}}).size(), Report::kMaxProblems);
}

}  // namespace
}  // namespace sluice::store
