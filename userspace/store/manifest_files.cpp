// SPDX-License-Identifier: Apache-2.0
#include "store/manifest_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "base/fd.hpp"
#include "store/yaml.hpp"

namespace sluice::store {
namespace {

constexpr std::size_t kMaxTotalBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxFiles = 16384;

/// Whether some process has the file open for writing. A read lease (fcntl(2)) is only given when nobody has; it is
/// given back at once. Filesystems without leases answer no: there the comparison of the timestamps must do.
bool is_open_for_writing(const UniqueFd& file) {
  // Should a writer come in the moment of the lease, the kernel's signal must be one that is ignored by default.
  if (fcntl(file.get(), F_SETSIG, SIGURG) != 0) return false;
  if (fcntl(file.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  fcntl(file.get(), F_SETLEASE, F_UNLCK);
  return false;
}

bool same_content(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

Result<std::string> read_all(const std::string& path, const UniqueFd& file, std::size_t limit) {
  std::string text;
  std::array<char, 65536> buffer;
  while (text.size() <= limit) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(path);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return fail(ErrorCode::kInvalid,
              path + ": has more than " + std::to_string(limit) + " bytes, which is the limit; split it");
}

Result<ManifestFile> read_file(const std::string& path) {
  // O_NONBLOCK: a FIFO must not hold the daemon.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return fail_errno("manifest " + path);
  struct stat before{};
  if (fstat(file.get(), &before) != 0) return fail_errno("manifest " + path);
  if (!S_ISREG(before.st_mode)) {
    return fail(ErrorCode::kInvalid, path + ": is no regular file; remove it or give it another name");
  }
  const auto being_written = [&] {
    return fail(ErrorCode::kPrecondition, path + ": is being written; it is read when the writer has closed it");
  };
  if (is_open_for_writing(file)) return being_written();
  Result<std::string> text = read_all(path, file, kMaxYamlBytes);
  if (!text) return std::unexpected(text.error());
  struct stat after{};
  if (fstat(file.get(), &after) != 0) return fail_errno("manifest " + path);
  if (!same_content(before, after) || is_open_for_writing(file)) return being_written();
  return ManifestFile{path, std::move(*text)};
}

Result<std::vector<std::string>> list_folder(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_manifest_name(entry->path().filename().string())) names.push_back(entry->path().string());
  }
  if (error) return fail_errno("folder " + folder.string(), error.value());
  if (names.size() > kMaxFiles) {
    return fail(ErrorCode::kExhausted, folder.string() + ": has " + std::to_string(names.size()) +
                                           " manifests; at most " + std::to_string(kMaxFiles) +
                                           " are read, so put several resources into one file");
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

bool is_manifest_name(std::string_view name) {
  return !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"));
}

Result<std::vector<ManifestFile>> read_manifest_files(const std::filesystem::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return fail_errno("manifests " + path.string());
  std::vector<std::string> names = {path.string()};
  if (S_ISDIR(info.st_mode)) {
    Result<std::vector<std::string>> listed = list_folder(path);
    if (!listed) return std::unexpected(listed.error());
    names = std::move(*listed);
    if (names.empty()) {
      return fail(ErrorCode::kNotFound, path.string() +
                                            ": the folder has no *.yaml or *.yml file; nothing is removed because of "
                                            "that, so add a manifest ('kind: Empty' removes everything)");
    }
  }
  std::vector<ManifestFile> files;
  std::size_t total = 0;
  for (const std::string& name : names) {
    Result<ManifestFile> file = read_file(name);
    if (!file) return std::unexpected(file.error());
    total += file->text.size();
    if (total > kMaxTotalBytes) {
      return fail(ErrorCode::kExhausted, path.string() + ": the manifests have more than " +
                                             std::to_string(kMaxTotalBytes) + " bytes together, which is the limit");
    }
    files.push_back(std::move(*file));
  }
  return files;
}

}  // namespace sluice::store
