// The translation of C++ exceptions into Python errors, which every function of the C API needs.
#pragma once

#include <Python.h>

#include <new>
#include <utility>

namespace tapegrad::python {

// Thrown through the core when a Python error is set.
struct PythonError {};

// Sets a MemoryError; its message says if the arena is full.
void set_memory_error(const std::bad_alloc& error);

// Sets the Python error of the exception that is being handled. An error that is set already stays.
void set_error_of_exception();

// Runs a call that may throw. Translates a C++ exception into a Python error and then returns
// `failed`.
template <class Call, class Result = decltype(std::declval<Call>()())>
Result guarded(Call call, Result failed = {}) {
  try {
    return call();
  } catch (...) {
    set_error_of_exception();
  }
  return failed;
}

}  // namespace tapegrad::python
