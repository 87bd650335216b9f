// SPDX-License-Identifier: Apache-2.0
// Prints docs/api.md: the services and messages of sluice.v1 with the comments of their .proto files.
//
//   sluice_api_docs SET               prints the page
//   sluice_api_docs --check PAGE SET  fails if PAGE is another one
//
// SET: what protoc --descriptor_set_out --include_source_info writes of api/sluice.proto and what it imports.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace pb = google::protobuf;

/// A comment on one line, as a cell of a table takes it.
std::string one_line(const std::string& comment) {
  std::string text;
  for (const char c : comment) {
    if (c == '\n') {
      if (!text.empty() && text.back() != ' ') text += ' ';
    } else if (c == '|') {
      text += "\\|";
    } else if (c != ' ' || (!text.empty() && text.back() != ' ')) {
      text += c;
    }
  }
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

template <typename Descriptor>
std::string comment_of(const Descriptor& descriptor) {
  pb::SourceLocation location;
  if (!descriptor.GetSourceLocation(&location)) return "";
  const std::string before = one_line(location.leading_comments);
  const std::string behind = one_line(location.trailing_comments);
  return before + (before.empty() || behind.empty() ? "" : " ") + behind;
}

/// What stands above `syntax`, without the licence.
std::string introduction(const pb::FileDescriptor& file) {
  constexpr int kSyntax = 12;  // FileDescriptorProto.syntax
  pb::SourceLocation location;
  if (!file.GetSourceLocation({kSyntax}, &location)) return "";
  std::stringstream lines(location.leading_comments);
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("SPDX-License-Identifier") != std::string::npos) continue;
    text += line.starts_with(' ') ? line.substr(1) : line;
    text += '\n';
  }
  return text;
}

std::string link_to(const std::string& name) {
  std::string anchor;
  for (const char c : name) anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return "[" + name + "](#" + anchor + ")";
}

std::string name_of(const pb::FieldDescriptor& field) {
  if (field.message_type() != nullptr) return link_to(field.message_type()->name());
  if (field.enum_type() != nullptr) return link_to(field.enum_type()->name());
  return field.type_name();
}

std::string type_of(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    return "map of " + name_of(*field.message_type()->field(0)) + " to " + name_of(*field.message_type()->field(1));
  }
  if (field.is_repeated()) return "list of " + name_of(field);
  if (field.real_containing_oneof() != nullptr) {
    return name_of(field) + ", one of `" + field.real_containing_oneof()->name() + "`";
  }
  return (field.has_presence() && field.message_type() == nullptr ? "optional " : "") + name_of(field);
}

void print_enum(const pb::EnumDescriptor& type, std::ostream& out) {
  out << "\n### " << type.name() << "\n\n";
  if (const std::string comment = comment_of(type); !comment.empty()) out << comment << "\n\n";
  out << "| value | number | meaning |\n|---|---|---|\n";
  for (int i = 0; i < type.value_count(); i++) {
    out << "| `" << type.value(i)->name() << "` | " << type.value(i)->number() << " | " << comment_of(*type.value(i))
        << " |\n";
  }
}

void print_message(const pb::Descriptor& type, std::ostream& out) {
  out << "\n### " << type.name() << "\n\n";
  if (const std::string comment = comment_of(type); !comment.empty()) out << comment << "\n\n";
  if (type.field_count() == 0) {
    out << "No fields.\n";
  } else {
    out << "| field | number | type | meaning |\n|---|---|---|---|\n";
  }
  for (int i = 0; i < type.field_count(); i++) {
    const pb::FieldDescriptor& field = *type.field(i);
    out << "| `" << field.name() << "` | " << field.number() << " | " << type_of(field) << " | " << comment_of(field)
        << " |\n";
  }
  for (int i = 0; i < type.enum_type_count(); i++) print_enum(*type.enum_type(i), out);
  for (int i = 0; i < type.nested_type_count(); i++) {
    if (!type.nested_type(i)->options().map_entry()) print_message(*type.nested_type(i), out);
  }
}

void print_service(const pb::ServiceDescriptor& service, std::ostream& out) {
  out << "\n### " << service.name() << "\n\n" << comment_of(service) << "\n\n";
  out << "| call | request | answer | |\n|---|---|---|---|\n";
  for (int i = 0; i < service.method_count(); i++) {
    const pb::MethodDescriptor& method = *service.method(i);
    out << "| `" << method.name() << "` | " << link_to(method.input_type()->name()) << " | "
        << (method.server_streaming() ? "stream of " : "") << link_to(method.output_type()->name()) << " | "
        << comment_of(method) << " |\n";
  }
}

void collect(const pb::Descriptor& type, std::set<const pb::Descriptor*>& used) {
  if (!used.insert(&type).second) return;
  for (int i = 0; i < type.field_count(); i++) {
    if (type.field(i)->message_type() != nullptr) collect(*type.field(i)->message_type(), used);
  }
}

void print_page(const std::vector<const pb::FileDescriptor*>& files, std::ostream& out) {
  out << "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
         "<!-- Made by sluice_api_docs from the .proto files: change those. -->\n"
         "# API: sluice.v1\n";
  for (const pb::FileDescriptor* file : files) out << '\n' << introduction(*file);
  out << "\nServer reflection and `grpc.health.v1.Health` answer too. Who may call: [security.md](security.md).\n"
         "\n## Services\n";
  std::set<const pb::Descriptor*> used{files.front()->pool()->FindMessageTypeByName("sluice.v1.Problems")};
  collect(*files.front()->pool()->FindMessageTypeByName("sluice.v1.Problem"), used);
  for (const pb::FileDescriptor* file : files) {
    for (int i = 0; i < file->service_count(); i++) {
      print_service(*file->service(i), out);
      for (int j = 0; j < file->service(i)->method_count(); j++) {
        collect(*file->service(i)->method(j)->input_type(), used);
        collect(*file->service(i)->method(j)->output_type(), used);
      }
    }
  }
  // What no call carries is the store's own affair.
  out << "\n## Messages\n";
  for (const pb::FileDescriptor* file : files) {
    for (int i = 0; i < file->message_type_count(); i++) {
      if (used.contains(file->message_type(i))) print_message(*file->message_type(i), out);
    }
    for (int i = 0; i < file->enum_type_count(); i++) print_enum(*file->enum_type(i), out);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::string page;
  if (words.size() > 2 && words.front() == "--check") {
    page = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.size() != 1) {
    std::cerr << "usage: sluice_api_docs [--check PAGE] SET\n";
    return 2;
  }
  std::ifstream input(words.front(), std::ios::binary);
  pb::FileDescriptorSet set;
  if (!set.ParseFromIstream(&input)) {
    std::cerr << words.front() << ": cannot be read as a FileDescriptorSet\n";
    return 1;
  }
  pb::DescriptorPool pool;
  std::vector<const pb::FileDescriptor*> files;
  for (const pb::FileDescriptorProto& file : set.file()) {
    files.insert(files.begin(), pool.BuildFile(file));  // the API before what it imports
    if (files.front() == nullptr) return 1;
  }
  std::ostringstream text;
  print_page(files, text);
  if (page.empty()) {
    std::cout << text.str();
    return 0;
  }
  std::ifstream file(page);
  std::ostringstream present;
  present << file.rdbuf();
  if (present.str() == text.str()) return 0;
  std::cerr << page << " is not what the .proto files say; make it anew: ninja api_docs" << '\n';
  return 1;
}
