// What detect_anomaly() asks of a reverse sweep over a recording.
#pragma once

#include <pybind11/pybind11.h>

#include <cmath>
#include <string>

#include "tapegrad/derivative.hpp"

namespace tapegrad::python {

// Raises for the last operation whose adjoint is NaN or infinite: the first that the sweep met.
template <class Number>
void check_adjoints(const Stretch& stretch, const ReverseSweep<Number>& sweep) {
  for (tapegrad::Place i = stretch.end(); i-- > stretch.begin();) {
    if (!sweep.reached(i)) continue;
    const double adjoint = Symbol(sweep.adjoint(i)).primal();
    if (std::isfinite(adjoint)) continue;
    const Description* what = description(stretch.recording()[i].op);
    PyErr_Format(PyExc_FloatingPointError, "the gradient by %s of traced numbers became %s",
                 what != nullptr ? std::string(what->name).c_str() : "an argument",
                 std::isnan(adjoint) ? "nan"
                 : adjoint > 0       ? "inf"
                                     : "-inf");
    throw pybind11::error_already_set();
  }
}

}  // namespace tapegrad::python
