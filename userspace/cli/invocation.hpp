// SPDX-License-Identifier: Apache-2.0
// What a command line asks for: the parser fills it in, the application runs it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>

#include "cli/exit_status.hpp"
#include "cli/report.hpp"

namespace sluice::cli {

struct Streams {
  std::ostream& out;
  std::ostream& err;
  bool colour = false;  ///< out is a terminal whose user wants colours
};

struct Invocation {
  std::string socket = "/run/sluice/sluice.sock";
  /// The chosen command, set by the parser.
  std::function<ExitStatus(const Streams&)> run;
};

/// Prints "sluicectl: message" on err and gives the status back.
ExitStatus complain(const Streams& streams, std::string_view message, ExitStatus status);

/// Adds -o with the formats that the command knows.
void add_output_option(CLI::App& command, Format& format, bool has_wide);
void add_output_option(CLI::App& command, Format& format, const std::map<std::string, Format>& formats,
                       const std::string& help);

/// Adds an option whose text `parse` turns into a value; what parse refuses is a usage error that names the option.
template <typename Parse, typename Store>
CLI::Option* add_parsed_option(CLI::App& command, const std::string& name, const std::string& help,
                               const std::string& placeholder, const Parse& parse, const Store& store) {
  return command
      .add_option_function<std::string>(
          name,
          [name, parse, store](const std::string& text) {
            auto value = parse(text);
            if (!value) throw CLI::ValidationError(name, value.error().message);
            store(*value);
          },
          help)
      ->type_name(placeholder);
}

}  // namespace sluice::cli
