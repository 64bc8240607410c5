#include "common/errors.hpp"

#include <exception>

#include <pybind11/pybind11.h>

#include "tapegrad/detail/base/errors.hpp"

namespace tapegrad::python {

void set_memory_error(const std::bad_alloc& error) {
  const bool full = dynamic_cast<const ArenaFull*>(&error) != nullptr;
  PyErr_SetString(PyExc_MemoryError, full ? error.what() : "out of memory");
}

void set_error_of_exception() {
  try {
    throw;
  } catch (const PythonError&) {
  } catch (const std::bad_alloc& error) {
    set_memory_error(error);
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const pybind11::cast_error& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const pybind11::builtin_exception& error) {
    error.set_error();
  } catch (const std::exception& error) {
    // pybind11 throws one where an allocation has failed, with the MemoryError set.
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace tapegrad::python
