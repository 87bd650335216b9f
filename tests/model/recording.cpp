// SPDX-License-Identifier: Apache-2.0
#include "recording.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <stdexcept>

namespace model {

namespace {

constexpr std::size_t kShortestFrame = 54;
constexpr unsigned kMostTries = 2000;

std::string hexadecimal(const bpftest::Bytes& bytes) {
  std::string text;
  char digits[3];
  for (const std::uint8_t byte : bytes) {
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    text += digits;
  }
  return text;
}

bpftest::Bytes bytes_of(const std::string& digits) {
  bpftest::Bytes bytes(digits.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* at = digits.data() + 2 * i;
    if (std::from_chars(at, at + 2, bytes[i], 16).ptr != at + 2) throw std::runtime_error("no byte: " + digits);
  }
  return bytes;
}

Recording without(const Recording& recording, std::size_t from, std::size_t count) {
  Recording shorter = recording;
  const auto begin = shorter.events.begin() + static_cast<std::ptrdiff_t>(from);
  shorter.events.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
  return shorter;
}

}  // namespace

std::string to_text(const Recording& recording) {
  std::ostringstream out;
  out << "session " << recording.seed << "\n";
  for (const Event& event : recording.events) {
    if (event.change != 0) {
      out << "change " << event.change << "\n";
    } else {
      out << "packet " << static_cast<unsigned>(event.packet.entry) << " " << event.packet.ifindex << " "
          << hexadecimal(event.packet.frame.bytes) << "\n";
    }
  }
  return out.str();
}

Recording from_text(const std::string& text) {
  Recording recording;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string kind, digits;
    Event event;
    unsigned entry = 0;
    words >> kind;
    if (kind == "session") {
      words >> recording.seed;
    } else if (kind == "change") {
      words >> event.change;
    } else if (kind == "packet") {
      words >> entry >> event.packet.ifindex >> digits;
      event.packet.entry = static_cast<sluice_entry>(entry);
      event.packet.frame.bytes = bytes_of(digits);
    } else {
      throw std::runtime_error("a recording's line is neither session, change nor packet: " + line);
    }
    if (words.fail()) throw std::runtime_error("a recording's line is not whole: " + line);
    if (kind != "session") recording.events.push_back(event);
  }
  return recording;
}

std::string replay(const Recording& recording) {
  Session session(recording.seed);
  for (const Event& event : recording.events) {
    const std::string difference = session.apply(event);
    if (!difference.empty()) return difference;
  }
  return session.compare_tables();
}

Recording minimised(Recording recording, const std::function<bool(const Recording&)>& differs) {
  unsigned tries = 0;
  const auto take = [&](const Recording& shorter) {
    if (++tries > kMostTries || !differs(shorter)) return false;
    recording = shorter;
    return true;
  };
  for (std::size_t size = std::max<std::size_t>(1, recording.events.size() / 2); size > 0; size /= 2) {
    for (std::size_t from = 0; from + size <= recording.events.size();) {
      if (!take(without(recording, from, size))) from += size;
    }
  }
  for (std::size_t i = 0; i < recording.events.size(); ++i) {
    for (std::size_t cut = 64; cut > 0; cut /= 2) {
      Recording shorter = recording;
      bpftest::Frame& frame = shorter.events[i].packet.frame;
      while (frame.size() >= kShortestFrame + cut) {
        frame.resize(frame.size() - cut);
        if (!take(shorter)) break;
      }
    }
  }
  return recording;
}

}  // namespace model
