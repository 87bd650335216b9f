// SPDX-License-Identifier: Apache-2.0
#include "subprocess.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "base/fd.hpp"

namespace sluice::testing {
namespace {

constexpr unsigned int kNobodyId = 65534;

std::string read_all(int fd) {
  ::lseek(fd, 0, SEEK_SET);
  std::string text;
  std::array<char, 65536> buffer{};
  for (ssize_t count = 0; (count = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

/// In the child: the binary is opened before the user changes, because nobody may not reach the build folder.
[[noreturn]] void become_sluicectl(char** argv, User user, int in, int out, int err) {
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  const int binary = ::open(SLUICECTL_PATH, O_RDONLY | O_CLOEXEC);
  const bool dropped =
      user == User::kRoot || (::setgroups(0, nullptr) == 0 && ::setresgid(kNobodyId, kNobodyId, kNobodyId) == 0 &&
                              ::setresuid(kNobodyId, kNobodyId, kNobodyId) == 0);
  if (binary >= 0 && dropped) ::fexecve(binary, argv, environ);
  ::_exit(127);
}

}  // namespace

Outcome run_sluicectl(const std::vector<std::string>& arguments, User user, const std::string& input) {
  std::vector<std::string> words = {"sluicectl"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const UniqueFd in(::memfd_create("stdin", MFD_CLOEXEC));
  const bool written = ::write(in.get(), input.data(), input.size()) == static_cast<ssize_t>(input.size());
  if (!written || ::lseek(in.get(), 0, SEEK_SET) != 0) throw std::runtime_error("cannot write the standard input");
  const UniqueFd out(::memfd_create("stdout", MFD_CLOEXEC));
  const UniqueFd err(::memfd_create("stderr", MFD_CLOEXEC));
  const pid_t child = ::fork();
  if (child < 0 || !out.valid() || !err.valid()) throw std::runtime_error("cannot start sluicectl");
  if (child == 0) become_sluicectl(argv.data(), user, in.get(), out.get(), err.get());
  int status = 0;
  if (::waitpid(child, &status, 0) != child) throw std::runtime_error("cannot wait for sluicectl");
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_all(out.get()), read_all(err.get())};
}

}  // namespace sluice::testing
