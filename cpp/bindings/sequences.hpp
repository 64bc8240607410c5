// Sequences of Values and numbers, read into the core.
#pragma once

#include <string>

#include "handle.hpp"
#include "tapegrad/rows.hpp"

namespace tapegrad::python {

// Where something was found, for messages: "linear(): w[2][3]".
struct Place {
  const char* function;
  const char* argument;
  Py_ssize_t row = -1;

  std::string text(Py_ssize_t k = -1) const {
    std::string all = std::string(function) + "(): " + argument;
    for (const Py_ssize_t at : {row, k})
      if (at >= 0) all += "[" + std::to_string(at) + "]";
    return all;
  }
};

// A list or tuple as it is, or a tuple of what any other iterable gives. Reading an item may run
// code that changes a list: its length is asked for again each time.
class Sequence {
 public:
  Sequence() = default;
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence() { Py_XDECREF(object_); }

  // False, with an error set that names the place, where it is none; `what` is what it should be.
  bool open(PyObject* given, const Place& place, const char* what = "Values and numbers",
            Py_ssize_t k = -1);

  std::size_t size() const { return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(object_)); }
  PyObject* object() const { return object_; }
  PyObject* const* items() const { return PySequence_Fast_ITEMS(object_); }

 private:
  PyObject* object_ = nullptr;
};

// Reads an item that is no plain Value or float. False with an error set, also where the sequence
// has another length afterwards.
bool read_item(const Sequence& sequence, std::size_t k, const Place& place, Argument& argument);

bool changed(const Place& place);  // sets the error, and is false
bool lengths_differ(const Place& one, std::size_t count, const Place& other, std::size_t wanted);

// Appends every item to a Draft or a Row.
inline void append(Draft& draft, Index node) { draft.add(node); }
inline void append(Draft& draft, double number) { draft.add(number); }
inline void append(Row& row, Index node) { row.add({node, tape().cell(node).primal}); }
inline void append(Row& row, double number) { row.add({no_node, number}); }

template <class Target>
bool read_all(const Sequence& sequence, const Place& place, Target& target) {
  const std::size_t count = sequence.size();
  PyObject* const* items = sequence.items();
  for (std::size_t k = 0; k < count; ++k) {
    PyObject* const item = items[k];
    if (Py_TYPE(item) == value_type) [[likely]] {
      append(target, node_of(item));
    } else if (PyFloat_CheckExact(item)) {
      append(target, PyFloat_AS_DOUBLE(item));
    } else {
      Argument argument;
      if (!read_item(sequence, k, place, argument)) return false;
      if (argument.node != no_node) append(target, argument.node);
      else append(target, argument.primal);
      if (sequence.size() != count) return changed(place);
      items = sequence.items();
    }
  }
  return true;
}

// Opens and reads.
inline bool read_row(PyObject* given, const Place& place, Row& row) {
  Sequence sequence;
  if (!sequence.open(given, place)) return false;
  row.reserve(sequence.size());
  return read_all(sequence, place, row);
}

}  // namespace tapegrad::python
