// Values given as a sequence of parameters.
#pragma once

#include <pybind11/pybind11.h>

#include "value/handle.hpp"

namespace tapegrad::python {

// The Values of a list, a tuple or another iterable, or a single Value. The constructor reads an
// iterable to its end. The result of check() holds as long as no Python code runs after it.
class Parameters {
 public:
  explicit Parameters(pybind11::handle given, const char* name);

  // Raises a TypeError that names the first item that is not a Value.
  void check() const;

  std::size_t count() const {
    return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(sequence_.ptr()));
  }
  Index operator()(std::size_t k) const {
    return node_of(PySequence_Fast_GET_ITEM(sequence_.ptr(), static_cast<Py_ssize_t>(k)));
  }

 private:
  pybind11::object sequence_;
  const char* name_;
};

}  // namespace tapegrad::python
