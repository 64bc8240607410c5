// Sequences of Values and numbers, read into the core.
#pragma once

#include <string>

#include "tapegrad/detail/nn/rows.hpp"
#include "tapegrad/detail/nn/symbol_rows.hpp"
#include "value/handle.hpp"

namespace tapegrad::python {

// Where something was found, for messages: "linear(): w[2][3]".
struct ArgumentName {
  const char* function;
  const char* argument;
  Py_ssize_t row = -1;

  std::string text(Py_ssize_t k = -1) const {
    std::string all = std::string(function) + "(): " + argument;
    for (const Py_ssize_t at : {row, k})
      if (at >= 0) all.append(1, '[').append(std::to_string(at)).append(1, ']');
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
  bool open(PyObject* given, const ArgumentName& place, const char* what = "Values and numbers",
            Py_ssize_t k = -1);

  std::size_t size() const { return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(object_)); }
  PyObject* object() const { return object_; }
  PyObject* const* items() const { return PySequence_Fast_ITEMS(object_); }

 private:
  PyObject* object_ = nullptr;
};

// Reads an item that is no plain Value or float. False with an error set, also where the sequence
// has another length afterwards.
bool read_item(const Sequence& sequence, std::size_t k, const ArgumentName& place,
               Argument& argument);

bool changed(const ArgumentName& place);  // sets the error, and is false
bool lengths_differ(const ArgumentName& one, std::size_t count, const ArgumentName& other,
                    std::size_t wanted);

// Calls take(node) or take(number) from the k-th item on, while they are plain Values and floats;
// returns the first that is not. Nothing else is called, so that all stays in registers.
template <class Take>
[[gnu::always_inline]] inline std::size_t read_plain(PyObject* const* items, std::size_t k,
                                                     std::size_t count, Take& take) {
  PyTypeObject* const value = value_type;
  for (; k < count; ++k) {
    PyObject* const item = items[k];
    if (Py_TYPE(item) == value) [[likely]]
      take(node_of(item));
    else if (PyFloat_CheckExact(item)) take(PyFloat_AS_DOUBLE(item));
    else break;
  }
  return k;
}

// The same for every item.
template <class Take>
[[gnu::always_inline]] inline bool read_each(const Sequence& sequence, const ArgumentName& place,
                                             Take take) {
  const std::size_t count = sequence.size();
  for (std::size_t k = 0;; ++k) {
    k = read_plain(sequence.items(), k, count, take);
    if (k == count) return true;
    Argument argument;
    if (!read_item(sequence, k, place, argument)) return false;
    if (argument.node != no_node) take(argument.node);
    else take(argument.primal);
    if (sequence.size() != count) return changed(place);
  }
}

// The same into a row or a list.
inline bool read_all(const Sequence& sequence, const ArgumentName& place, Row& row) {
  row.reserve(sequence.size());
  return read_each(sequence, place, [&](auto item) {
    if constexpr (std::is_same_v<decltype(item), Index>) row.add({item, tape().cell(item).primal});
    else row.add({no_node, item});
  });
}
inline bool read_all(const Sequence& sequence, const ArgumentName& place,
                     OperandListBuilder& draft) {
  OperandListBuilder::Writer pen(draft);
  return read_each(sequence, place, [&](auto item) { pen.add(item); });
}
// Traced and plain numbers, in a recording.
bool read_all(const Sequence& sequence, const ArgumentName& place, SymbolRow& row);

// Opens and reads.
template <class Row>
bool read_row(PyObject* given, const ArgumentName& place, Row& row) {
  Sequence sequence;
  if (!sequence.open(given, place)) return false;
  return read_all(sequence, place, row);
}

}  // namespace tapegrad::python
