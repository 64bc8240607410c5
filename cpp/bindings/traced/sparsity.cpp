// The Python interface of sparse derivatives of a recording.
#include "tapegrad/detail/ir/sparsity.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "common/allocation.hpp"
#include "common/references.hpp"
#include "module.hpp"
#include "traced/anomalies.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

using Numbers = std::vector<py::object>;
using Places = std::vector<ValueId>;
using Entries = std::pair<Numbers, std::shared_ptr<Compression>>;

OpenRecording& open_recording() {
  if (Recording::current == nullptr)
    throw std::runtime_error("nothing is recorded: no recording is open");
  return static_cast<OpenRecording&>(*Recording::current);
}

// The values of these numbers in the open recording; no_value for a plain number, if `plain` allows
// it.
Places places_of(const OpenRecording& recording, const Numbers& numbers, bool plain) {
  Places places;
  for (const py::object& number : numbers) {
    const bool own = is_traced(number.ptr()) && as_traced(number.ptr())->id == recording.id;
    if (!own && !(plain && PyFloat_Check(number.ptr())))
      throw py::value_error("not a traced number of the open recording");
    places.push_back(own ? as_traced(number.ptr())->place : no_value);
  }
  return places;
}

ValueId end_of(const Places& outputs) {
  ValueId end = 0;
  for (const ValueId output : outputs)
    if (output != no_value) end = std::max(end, output + 1);
  return end;
}

py::object object(OpenRecording& recording, const Symbol& symbol) {
  return owned(object_of(recording, symbol));
}
py::object object(OpenRecording&, double number) { return py::float_(number); }

// The nonzeros of the derivative of `outputs`, and the compression that `compress` makes of its
// pattern.
template <class Compress>
Entries entries_of(const Numbers& inputs, const Numbers& outputs, bool record, Compress compress) {
  OpenRecording& recording = open_recording();
  const Places from = places_of(recording, inputs, false);
  const Places to = places_of(recording, outputs, true);
  const ActiveRange range(recording, from, end_of(to));
  const auto compression =
      std::make_shared<Compression>(compress(range, jacobian_pattern(range, from, to)));
  Numbers made;
  const auto make = [&](const auto& numbers) {
    for (const auto& number : numbers) made.push_back(object(recording, number));
  };
  const SweepLines lines(recording, recording);
  const auto watch = [&]<class Sweep>(const Sweep& sweep, std::size_t k) {
    if (!anomaly_on()) return;
    constexpr bool forward = !requires { sweep.adjoint(0); };
    if constexpr (forward) {
      check_sweep(range, sweep, k, to);
    } else {
      const std::vector<double> seeds(to.size(), 1.0);
      check_sweep(range, sweep, to, seeds);
    }
  };
  if (record) make(nonzeros<Symbol>(range, from, to, *compression, watch));
  else make(nonzeros<double>(range, from, to, *compression, watch));
  return {std::move(made), compression};
}

Entries jacobian_entries(const Numbers& inputs, const Numbers& outputs, bool record,
                         std::optional<bool> forward) {
  return entries_of(inputs, outputs, record, [&](const ActiveRange&, Pattern pattern) {
    if (!forward) return compress(std::move(pattern));
    return *forward ? compress_columns(std::move(pattern)) : compress_rows(std::move(pattern));
  });
}

Entries hessian_entries(const Numbers& inputs, const Numbers& gradient, bool record) {
  if (inputs.size() != gradient.size())
    throw py::value_error("a gradient must have a number for each input");
  return entries_of(inputs, gradient, record, [](const ActiveRange& range, Pattern pattern) {
    // The result of a rule need not be a gradient, so that its derivative need not be symmetric.
    if (range.has_rule()) return compress_columns(std::move(pattern));
    return compress_symmetric(symmetrized(pattern));
  });
}

// An index array for scipy.sparse. It is new for each matrix, since a program may change it in
// place.
template <class Index, class Integers>
py::array array_of(const Integers& integers) {
  py::array_t<Index> array(static_cast<py::ssize_t>(integers.size()));
  std::transform(integers.begin(), integers.end(), array.mutable_data(),
                 [](auto integer) { return static_cast<Index>(integer); });
  return array;
}

// An index array of 32-bit integers if they suffice, otherwise of 64-bit integers.
template <class Integers>
py::array indices_of(const Pattern& pattern, const Integers& integers) {
  constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();
  const bool small = pattern.columns <= most && pattern.indices.size() <= most;
  return small ? array_of<std::int32_t>(integers) : array_of<std::int64_t>(integers);
}

}  // namespace

void register_sparsity(py::module_& module) {
  py::class_<Compression, std::shared_ptr<Compression>>(
      module, "Compression", checked_allocation(),
      "The sparsity pattern of a matrix, and the sweeps that compute its nonzeros.")
      .def_property_readonly("shape",
                             [](const Compression& self) {
                               return py::make_tuple(self.pattern.rows(), self.pattern.columns);
                             })
      .def_property_readonly(
          "indices",
          [](const Compression& self) { return indices_of(self.pattern, self.pattern.indices); },
          "The column index of each nonzero, row by row, as a new array.")
      .def_property_readonly(
          "indptr",
          [](const Compression& self) { return indices_of(self.pattern, self.pattern.starts); },
          "The index of each row's first nonzero, as a new array.")
      .def_readonly("forward", &Compression::forward)
      .def_property_readonly("sweeps", [](const Compression& self) { return self.coloring.count; });
  module.def("jacobian_entries", &jacobian_entries, py::arg("inputs"), py::arg("outputs"),
             py::arg("record"), py::arg("forward") = py::none(),
             "Return the nonzeros of a Jacobian of the open recording, and their positions.");
  module.def("hessian_entries", &hessian_entries, py::arg("inputs"), py::arg("gradient"),
             py::arg("record"), "Return the nonzeros of the Hessian, from the recorded gradient.");
}

}  // namespace tapegrad::python
