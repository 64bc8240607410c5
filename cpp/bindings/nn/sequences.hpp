// Sequences of Values and numbers, and functions that read them into the core.
#pragma once

#include <string>

#include "tapegrad/detail/nn/rows.hpp"
#include "tapegrad/detail/nn/symbol_rows.hpp"
#include "value/handle.hpp"

namespace tapegrad::python {

// A name for a position in the arguments of a function, for messages such as "linear(): w[2][3]".
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

// A list or tuple as it was given, or a tuple of the items of another iterable. Reading an item may
// run code that changes a list. The readers therefore check its length after each such item.
class Sequence {
 public:
  Sequence() = default;
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;
  ~Sequence() { Py_XDECREF(object_); }

  // Opens a sequence. Otherwise returns false, with an error set that names the argument and `what`
  // it should contain.
  bool open(PyObject* given, const ArgumentName& place, const char* what = "Values and numbers",
            Py_ssize_t k = -1);

  std::size_t size() const { return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(object_)); }
  PyObject* object() const { return object_; }
  PyObject* const* items() const { return PySequence_Fast_ITEMS(object_); }

 private:
  PyObject* object_ = nullptr;
};

// Reads any item. Returns false with an error set. It may run Python code that changes the
// sequence; the caller must check the length afterwards.
bool read_item(const Sequence& sequence, std::size_t k, const ArgumentName& place,
               Argument& argument);

bool changed(const ArgumentName& place);  // sets the error and returns false
// True, with a ValueError set that names both arguments, if the lengths differ.
bool lengths_differ(const ArgumentName& one, std::size_t count, const ArgumentName& other,
                    std::size_t wanted);

// Calls take(node) or take(number) for the items from the k-th on, as long as they are exact Values
// and floats. Returns the index of the first other item. It calls no other function, so that all
// variables stay in registers.
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

// Calls take(node) or take(number) for every item. Returns false with an error set.
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

// Reads every item into a row or a list of operands. Returns false with an error set.
inline bool read_all(const Sequence& sequence, const ArgumentName& place, Row& row) {
  row.reserve(sequence.size());
  return read_each(sequence, place, [&](auto item) {
    if constexpr (std::is_same_v<decltype(item), Index>) row.add({item, tape().cell(item).primal});
    else row.add({no_node, item});
  });
}
inline bool read_all(const Sequence& sequence, const ArgumentName& place,
                     OperandListBuilder& builder) {
  OperandListBuilder::Writer writer(builder);
  return read_each(sequence, place, [&](auto item) { writer.add(item); });
}
// Reads traced and plain numbers into a row of symbols. Returns false with an error set.
bool read_all(const Sequence& sequence, const ArgumentName& place, SymbolRow& row);

// Opens a sequence and reads it into a row. Returns false with an error set.
template <class Row>
bool read_row(PyObject* given, const ArgumentName& place, Row& row) {
  Sequence sequence;
  if (!sequence.open(given, place)) return false;
  return read_all(sequence, place, row);
}

}  // namespace tapegrad::python
