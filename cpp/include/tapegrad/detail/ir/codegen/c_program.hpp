// Generates a function of C99 from a program, with one statement for each operation.
#pragma once

#include <array>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tapegrad/detail/ir/codegen/c_expression.hpp"
#include "tapegrad/detail/ir/program.hpp"

namespace tapegrad {

namespace detail {

// For each operation, a function from C expressions of its operands to one of its value. A program
// contains no variadic operations.
inline constexpr auto c_values = []<std::size_t... K>(std::index_sequence<K...>) {
  using Function = CExpression (*)(const CExpression*);
  return std::array<Function, sizeof...(K)>{[]() -> Function {
    constexpr std::size_t arity = operand_count(static_cast<Op>(K));
    if constexpr (arity == 0) return nullptr;
    else
      return [](const CExpression* x) -> CExpression {
        const auto& value = std::get<K>(ops::table).value;
        if constexpr (arity == 1) return value(x[0]);
        else if constexpr (arity == 2) return value(x[0], x[1]);
        else return value(x[0], x[1], x[2]);
      };
  }()...};
}
(std::make_index_sequence<ops::count>());

// Returns text that is safe within a comment: on one line, and without comment delimiters.
inline std::string in_comment(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    const char before = safe.empty() ? ' ' : safe.back();
    if ((before == '*' && c == '/') || (before == '/' && c == '*')) safe += ' ';
    safe += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return safe;
}

// Generates the body of the function.
class CProgram {
 public:
  CProgram(const Program& program, std::span<const std::string> sources)
      : program_(program), sources_(sources), operand_(program.operands.data()) {}

  // Returns the text between the braces.
  std::string body() {
    read_inputs();
    result_ = program_.constants.size() + program_.inputs;
    state(0, program_.guard_runs);
    for (std::size_t k = 0; k < program_.guards.size(); ++k) check(k);
    state(program_.guard_runs, program_.runs.size());
    for (std::size_t k = 0; k < program_.outputs.size(); ++k)
      text_ += "  outputs[" + std::to_string(k) + "] = " + at(program_.outputs[k]).text() + ";\n";
    return text_ + "  return 0;\n";
  }

 private:
  // Variables are v0, v1 and so on: the inputs, then the results. A constant stands where it is
  // used.
  std::string variable(std::size_t place) const {
    return "v" + std::to_string(place - program_.constants.size());
  }
  CExpression at(std::size_t place) const {
    if (place < program_.constants.size()) return program_.constants[place];
    return CExpression::variable(variable(place));
  }
  void define(std::size_t place, const std::string& value) {
    text_ += "  const double " + variable(place) + " = " + value + ";\n";
  }

  // Defines variables for the inputs in use. They come first, so that `outputs` may overlap
  // `inputs`.
  void read_inputs() {
    const std::size_t first = program_.constants.size(), end = first + program_.inputs;
    std::vector<bool> used(program_.inputs);
    bool any = false;
    const auto use = [&](std::size_t place) {
      if (place >= first && place < end) used[place - first] = any = true;
    };
    for (const ValueId operand : program_.operands) use(operand);
    for (const ValueId output : program_.outputs) use(output);
    for (const Guard& guard : program_.guards)
      for (const ValueId operand : guard.operand) use(operand);
    for (std::size_t k = 0; k < used.size(); ++k)
      if (used[k]) define(first + k, "inputs[" + std::to_string(k) + "]");
    if (!any) text_ += "  (void)inputs;\n";
    if (program_.outputs.empty()) text_ += "  (void)outputs;\n";
  }

  // Appends the statements of the runs from `first` to `last`.
  void state(std::size_t first, std::size_t last) {
    for (std::size_t k = first; k < last; ++k) {
      const auto code = static_cast<std::size_t>(program_.runs[k].op);
      for (std::uint32_t j = 0; j < program_.runs[k].count; ++j) {
        std::vector<CExpression> operands;
        for (std::size_t i = operand_count(program_.runs[k].op); i-- > 0;)
          operands.push_back(at(*operand_++));
        define(result_++, c_values[code](operands.data()).text());
      }
    }
  }

  // Appends the check of guard `k`.
  void check(std::size_t k) {
    const Guard& guard = program_.guards[k];
    const CExpression y = guard.operand[1] == no_value ? CExpression(0.0) : at(guard.operand[1]);
    const CExpression told = observe(guard.kind, at(guard.operand[0]), y);
    const CExpression kept = CExpression::call("same", told, CExpression(guard.outcome));
    text_ += "  if (!" + kept.text() + ") return " + std::to_string(k + 1) + "; /* " +
             in_comment(sources_[k]) + " */\n";
  }

  const Program& program_;
  std::span<const std::string> sources_;
  const ValueId* operand_;
  std::size_t result_ = 0;
  std::string text_;
};

}  // namespace detail

// Returns the text of `int name(const double *inputs, double *outputs)` with all functions that it
// needs. `title` is the program's name in a comment. `sources` has the source line of each guard.
inline std::string c_function(const Program& program, std::string_view name, std::string_view title,
                              std::span<const std::string> sources) {
  const std::string body = detail::CProgram(program, sources).body();
  std::string functions;
  for (auto function = std::rbegin(c_functions); function != std::rend(c_functions); ++function) {
    const std::string called = c_name(function->name);
    if (body.find(called + "(") == std::string::npos &&
        functions.find(called + "(") == std::string::npos)
      continue;
    // The guard lets one file contain the texts of several programs.
    const std::string defined = called + "_defined";
    functions = "#ifndef " + defined + "\n#define " + defined + "\n" + std::string(function->text) +
                "#endif\n\n" + functions;
  }
  const std::string arity = std::to_string(program.inputs) + " inputs, " +
                            std::to_string(program.outputs.size()) +
                            (program.outputs.size() == 1 ? " output, " : " outputs, ") +
                            std::to_string(program.size()) + " operations";
  std::string text = "/* " + detail::in_comment(title) + ": " + arity + ".\n   Returns 0";
  if (!program.guards.empty())
    text += ", or k > 0 where guard k is broken: then nothing is written";
  text += ". */\n#include <math.h>\n\n";
  // GCC does not know the pragma, and contracts no operations with -std=c99.
  text += "#if defined(__clang__) || !defined(__GNUC__)\n#pragma STDC FP_CONTRACT OFF\n#endif\n\n";
  text += functions;
  text += "int " + std::string(name) + "(const double *inputs, double *outputs) {\n";
  return text + body + "}\n";
}

}  // namespace tapegrad
