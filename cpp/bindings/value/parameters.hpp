// Many Values at once.
#pragma once

#include <pybind11/pybind11.h>

#include "value/handle.hpp"

namespace tapegrad::python {

// The Values of a list or tuple, or of any other iterable once it is through; or one Value alone.
// As long as no Python code runs after check(), they are what it found.
class Parameters {
 public:
  explicit Parameters(pybind11::handle given, const char* name);

  // Raises TypeError, naming the first that is no Value.
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
