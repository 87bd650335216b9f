// SPDX-License-Identifier: Apache-2.0
#include "store/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>

namespace sluice::store {
namespace {

/// Leaves the parser from inside a callback; never leaves read_yaml(). yaml-cpp's event interface has no other way.
struct Refusal : std::exception {
  explicit Refusal(YamlProblem why) : problem(std::move(why)) {}
  YamlProblem problem;
};

std::size_t line_of(const YAML::Mark& mark) {
  return mark.line < 0 ? 0 : static_cast<std::size_t>(mark.line) + 1;
}

/// Builds one tree a document from yaml-cpp's events. The events come while the text is parsed, so the limits hold
/// before anything large exists.
class TreeBuilder : public YAML::EventHandler {
 public:
  std::optional<YamlNode> take() { return std::exchange(root_, std::nullopt); }

  void OnDocumentStart(const YAML::Mark&) override {
    root_.reset();
    open_.clear();
    nodes_ = 0;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, anchor, "");
    add(leaf(YamlNode::Kind::kNull, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, anchor, tag);
    YamlNode node = leaf(YamlNode::Kind::kScalar, mark);
    node.quoted = tag == "!";
    node.text = value;
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kSequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message) {
    throw Refusal({line_of(mark), std::move(message)});
  }
  [[noreturn]] static void refuse_anchor(const YAML::Mark& mark) {
    refuse(mark, "anchors and aliases (& and *) are not allowed; write the value out");
  }

  void check(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& tag) {
    if (anchor != YAML::NullAnchor) refuse_anchor(mark);
    // "?" is a plain value without a tag and "!" a quoted one.
    if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, "tags (like !!str) are not allowed; leave it out");
    if (++nodes_ > kMaxYamlNodes) {
      refuse(mark, "the document has more than " + std::to_string(kMaxYamlNodes) +
                       " values; no resource is that large, so is a '---' line missing?");
    }
  }

  static YamlNode leaf(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode node;
    node.kind = kind;
    node.line = line_of(mark);
    return node;
  }

  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check(mark, anchor, tag);
    if (open_.size() >= kMaxYamlDepth) {
      refuse(mark, "nested deeper than " + std::to_string(kMaxYamlDepth) + " levels; no resource is that deep");
    }
    open_.push_back(leaf(kind, mark));
  }

  void close() {
    YamlNode node = std::move(open_.back());
    open_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode&& node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    std::vector<YamlNode>& siblings = open_.back().items;
    // yaml-cpp notices an empty value only at the next token; what the user wrote stands beside its key.
    const bool is_value = open_.back().kind == YamlNode::Kind::kMap && siblings.size() % 2 == 1;
    if (is_value && node.kind == YamlNode::Kind::kNull) node.line = siblings.back().line;
    siblings.push_back(std::move(node));
  }

  std::optional<YamlNode> root_;
  std::vector<YamlNode> open_;  ///< from the root down to the collection that is being read
  std::size_t nodes_ = 0;
};

/// Length of the UTF-8 sequence at the front (RFC 3629); 0 if it is not well formed. Overlong forms and surrogates
/// are refused by the ranges of the second byte.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  const unsigned lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < lowest || byte(1) > highest) return 0;
  for (std::size_t i = 2; i < length; i++) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  return length;
}

/// Bytes that a manifest never needs and that make parsers and terminals do odd things.
std::optional<YamlProblem> check_bytes(std::string_view text) {
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n') line++;
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F;
    if (control) return YamlProblem{line, "control character " + std::to_string(byte) + " is not allowed; remove it"};
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) return YamlProblem{line, "the text is not UTF-8; save it as UTF-8"};
    // U+0080 to U+009F, the second block of control characters.
    if (length == 2 && byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      return YamlProblem{line, "a control character (U+0080 to U+009F) is not allowed; remove it"};
    }
    i += length;
  }
  return std::nullopt;
}

/// The text up to the next line that begins a document ("---" in column 0, in any context: YAML 1.2, 9.1.2).
std::string_view next_document(std::string_view text) {
  for (std::size_t line = text.find('\n'); line != std::string_view::npos; line = text.find('\n', line + 1)) {
    const std::string_view rest = text.substr(line + 1);
    if (rest.starts_with("---") && (rest.size() == 3 || std::string_view(" \t\r\n").contains(rest[3]))) {
      return text.substr(0, line + 1);
    }
  }
  return text;
}

/// Each document gets a parser of its own, because yaml-cpp goes on scanning past "---" inside brackets.
std::optional<YamlProblem> read_document(std::string_view text, const std::function<bool(YamlNode&&)>& on_document,
                                         bool& go_on) {
  if (text.size() > kMaxYamlDocumentBytes) {
    return YamlProblem{1, "a document has " + std::to_string(text.size()) + " bytes; at most " +
                              std::to_string(kMaxYamlDocumentBytes) + " are allowed, so is a '---' line missing?"};
  }
  if (text.starts_with('%') || text.find("\n%") != std::string_view::npos) {
    return YamlProblem{1, "directives (like %YAML) are not allowed; remove the line that begins with %"};
  }
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    TreeBuilder builder;
    if (!parser.HandleNextDocument(builder)) return std::nullopt;
    std::optional<YamlNode> root = builder.take();
    // A token that cannot stand where it does (a lone ',') yields an empty document without being consumed, so
    // asking on and on would never end; what comes after the document is wrong in any case.
    if (parser.HandleNextDocument(builder)) {
      return YamlProblem{1, "not valid YAML: something stands beside the document; is a '---' line missing?"};
    }
    if (root && root->kind != YamlNode::Kind::kNull) go_on = on_document(std::move(*root));
  } catch (const Refusal& refusal) {
    return refusal.problem;
  } catch (const YAML::Exception& wrong) {
    return YamlProblem{std::max<std::size_t>(1, line_of(wrong.mark)), "not valid YAML: " + wrong.msg};
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& wrong) {
    // yaml-cpp lets a few standard exceptions through on broken input.
    return YamlProblem{1, std::string("not valid YAML: ") + wrong.what()};
  }
  return std::nullopt;
}

void add_to_lines(YamlNode& node, std::size_t lines) {
  node.line += lines;
  for (YamlNode& item : node.items) add_to_lines(item, lines);  // at most kMaxYamlDepth deep
}

}  // namespace

std::optional<YamlProblem> read_yaml(std::string_view text, const std::function<bool(YamlNode&&)>& on_document) {
  if (text.size() > kMaxYamlBytes) {
    return YamlProblem{0, "the file has " + std::to_string(text.size()) + " bytes; at most " +
                              std::to_string(kMaxYamlBytes) + " are allowed, so split it"};
  }
  if (auto problem = check_bytes(text)) return problem;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark, as some editors write it
  std::size_t lines = 0;
  bool go_on = true;
  while (go_on && !text.empty()) {
    const std::string_view document = next_document(text);
    const auto with_lines = [&](YamlNode&& root) {
      add_to_lines(root, lines);
      return on_document(std::move(root));
    };
    if (auto problem = read_document(document, with_lines, go_on)) {
      problem->line += lines;
      return problem;
    }
    lines += static_cast<std::size_t>(std::ranges::count(document, '\n'));
    text.remove_prefix(document.size());
  }
  return std::nullopt;
}

}  // namespace sluice::store
