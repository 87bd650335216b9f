// SPDX-License-Identifier: Apache-2.0
// object_info OBJECT.bpf.o...
// Loads each BPF object into the running kernel and prints one line a program: instructions as translated, bytes of
// machine code, and how many instructions the verifier walked (its limit is a million). Fails if one does not load,
// and then prints what libbpf and the verifier said.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

namespace {

/// What libbpf said about the object at hand; shown only if it does not load. libbpf's print callback has no
/// argument for its user, so this is a function's static.
std::string& diagnostics() {
  static std::string text;
  return text;
}

int keep_diagnostics(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[8192];
  std::vsnprintf(line, sizeof line, format, arguments);
  diagnostics() += line;
  return 0;
}

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

bool fail(const std::string& what) {
  std::fprintf(stderr, "object_info: %s: %s\n%s", what.c_str(), std::strerror(errno), diagnostics().c_str());
  return false;
}

bool print_program(const std::string& object, const bpf_program* program) {
  bpf_prog_info info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0) {
    return fail(object + ": read the information of " + bpf_program__name(program));
  }
  std::printf("%-20s %-20s %12zu %12u %12u\n", object.c_str(), bpf_program__name(program),
              info.xlated_prog_len / sizeof(bpf_insn), info.jited_prog_len, info.verified_insns);
  return true;
}

bool print_object(const std::filesystem::path& path) {
  diagnostics().clear();
  const std::string name = path.filename();
  const Object object(bpf_object__open_file(path.c_str(), nullptr));
  if (object == nullptr) return fail("open " + path.string());
  if (bpf_object__load(object.get()) != 0) return fail("load " + path.string());
  const bpf_program* program = nullptr;
  bool any = false;
  while ((program = bpf_object__next_program(object.get(), const_cast<bpf_program*>(program))) != nullptr) {
    if (!print_program(name, program)) return false;
    any = true;
  }
  if (!any) std::fprintf(stderr, "object_info: %s holds no program\n", path.c_str());
  return any;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: object_info OBJECT.bpf.o...\n");
    return 64;
  }
  libbpf_set_print(keep_diagnostics);
  std::printf("%-20s %-20s %12s %12s %12s\n", "object", "program", "instructions", "jited bytes", "verified");
  bool good = true;
  for (int i = 1; i < argc; ++i) good = print_object(argv[i]) && good;
  return good ? 0 : 1;
}
