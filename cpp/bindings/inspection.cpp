// What the core says of itself: the table of operations, the arena, the build; and its checks.
#include <cmath>
#include <string>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "module.hpp"
#include "signature.hpp"
#include "tapegrad/version.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

py::dict describe(const Description& what) {
  py::list parameters, domain;
  for (std::size_t j = 0; j < what.parameters.size() && !what.parameters[j].empty(); ++j) {
    parameters.append(what.parameters[j]);
    domain.append(py::make_tuple(what.domain[j].low, what.domain[j].high));
  }
  py::dict entry;
  entry["name"] = what.name;
  entry["alias"] = what.alias.empty() ? py::object(py::none()) : py::str(what.alias);
  entry["symbol"] = what.symbol;
  entry["summary"] = what.summary;
  entry["arity"] = what.arity == variadic ? py::object(py::none()) : py::int_(what.arity);
  entry["parameters"] = py::tuple(parameters);
  entry["domain"] = py::tuple(domain);
  entry["constant_last"] = what.constant_last;
  return entry;
}

py::dict build() {
  py::dict entry;
  entry["version"] = TAPEGRAD_VERSION;
#if defined(__clang__)
  entry["compiler"] = "clang " __clang_version__;
#elif defined(__GNUC__)
  entry["compiler"] = "gcc " __VERSION__;
#elif defined(_MSC_VER)
  entry["compiler"] = "msvc " + std::to_string(_MSC_VER);
#endif
  entry["flags"] = TAPEGRAD_BUILD_FLAGS;
  entry["standard"] = static_cast<long>(__cplusplus);
  return entry;
}

py::dict arena() {
  py::dict entry;
  entry["nodes"] = tape().blocks().alive() - 1;  // without unset_node
  entry["capacity"] = tape().blocks().capacity();
  entry["limit"] = tape().blocks().limit();
  entry["bytes"] = tape().bytes();
  entry["bytes_per_node"] = bytes_per_node;
  entry["bytes_per_handle"] = sizeof(Handle);
  return entry;
}

// "log of x=-1.0 (label 'price')" and so on, for messages.
std::string told(Index node) {
  const Description* what = description(tape().cell(node).op);
  std::string text = what != nullptr ? std::string(what->name) : "a node of its own kind";
  if (const Note* note = tape().find_note(node); note != nullptr && !note->label.empty())
    text += " (label '" + note->label + "')";
  std::vector<Operand> operands;
  tape().append_operands(node, operands);
  if (tape().cell(node).flags & flag::constant_left) std::swap(operands[0], operands[1]);
  text += " of ";
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (k == 8) {
      text += ", ... (" + std::to_string(operands.size()) + " operands)";
      break;
    }
    const Operand& operand = operands[k];
    if (k > 0) text += ", ";
    const double x = operand.node == no_node ? operand.partial : tape().cell(operand.node).primal;
    const py::object number = py::float_(x);
    text += std::string(py::str(number));
    if (operand.node == no_node) continue;
    if (const Note* note = tape().find_note(operand.node); note != nullptr && !note->label.empty())
      text += " (label '" + note->label + "')";
  }
  return text;
}

bool set(bool& which, bool on) {
  const bool before = std::exchange(which, on);
  look_around();
  return before;
}

}  // namespace

// A NaN made of numbers, or an infinity made of finite ones.
bool check_anomaly(Index node) {
  const double y = tape().cell(node).primal;
  if (std::isfinite(y) || tape().cell(node).op == Op::leaf) return true;
  std::vector<Operand> operands;
  tape().append_operands(node, operands);
  for (const Operand& operand : operands) {
    const double x = operand.node == no_node ? operand.partial : tape().cell(operand.node).primal;
    if (std::isnan(x) || (std::isinf(y) && std::isinf(x))) return true;
  }
  PyErr_Format(PyExc_FloatingPointError, "%s gave %s", told(node).c_str(),
               std::isnan(y) ? "nan"
               : y > 0       ? "inf"
                             : "-inf");
  return false;
}

Index watched(Index node) {
  if (anomaly_on && !check_anomaly(node)) {
    tape().release(node);
    return no_node;
  }
  if (!no_grad_on || tape().cell(node).op == Op::leaf) return node;
  const double primal = tape().cell(node).primal;
  tape().release(node);
  return tape().leaf(primal);
}

void checked_backward(Index root, double seed) {
  tape().link(root).adjoint = seed;
  if (seed == 0.0) return;
  tape().walk<false>(root, [](Index node) {
    tape().push_adjoint(node);
    const double adjoint = tape().link(node).adjoint;
    if (!std::isfinite(adjoint)) return;
    tape().each_operand(node, [&](Index operand, double partial) {
      if (is_absent(partial) || std::isfinite(tape().link(operand).adjoint)) return;
      PyErr_Format(
          PyExc_FloatingPointError,
          "backward: the gradient became %s in %s, whose own gradient is %s and partial derivative %s",
          std::string(py::str(py::float_(tape().link(operand).adjoint))).c_str(),
          told(node).c_str(), std::string(py::str(py::float_(adjoint))).c_str(),
          std::string(py::str(py::float_(partial))).c_str());
      throw PythonError{};
    });
  });
}

void register_inspection(py::module_& module) {
  module.attr("__version__") = TAPEGRAD_VERSION;
  module.def(
      "operations",
      [] {
        py::list entries;
        for (const Description& what : ops::descriptions)
          if (!what.inner) entries.append(describe(what));
        return py::tuple(entries);
      },
      "The table of operations, a dict for each.");
  module.def("build", build, "Version, compiler and flags of this build.");
  module.def("arena", arena, "Use and limits of the arena.");
  module.def(
      "set_anomaly", [](bool on) { return set(anomaly_on, on); }, py::arg("on"), py::pos_only(),
      "Whether operations and gradients that become NaN or infinite raise; returns what was set.");
  module.def(
      "set_no_grad", [](bool on) { return set(no_grad_on, on); }, py::arg("on"), py::pos_only(),
      "Whether results are recorded as constants; returns what was set.");
}

}  // namespace tapegrad::python
