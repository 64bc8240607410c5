// Reading of sequences of Values and numbers.
#include "nn/sequences.hpp"

#include "common/arrays.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

bool Sequence::open(PyObject* given, const ArgumentName& place, const char* what, Py_ssize_t k) {
  if (PyList_CheckExact(given) || PyTuple_CheckExact(given)) {
    object_ = Py_NewRef(given);
    return true;
  }
  if (refuse_array_subclass(given, place.text(k))) return false;
  object_ = Py_NewRef(given);  // its owner may drop it while its own code runs
  PyObject* iterator = PyObject_GetIter(given);
  if (iterator == nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError))
      PyErr_Format(PyExc_TypeError, "%s must be an iterable of %s, not '%s'", place.text(k).c_str(),
                   what, Py_TYPE(given)->tp_name);
    return false;
  }
  PyObject* items = PySequence_Tuple(iterator);
  Py_DECREF(iterator);
  if (items == nullptr) return false;
  Py_SETREF(object_, items);
  return true;
}

namespace {

void set_no_number(const ArgumentName& place, std::size_t k, PyObject* item) {
  PyErr_Format(PyExc_TypeError, "%s must be a Value or a real number, not '%s'",
               place.text(static_cast<Py_ssize_t>(k)).c_str(), Py_TYPE(item)->tp_name);
}

}  // namespace

bool read_item(const Sequence& sequence, std::size_t k, const ArgumentName& place,
               Argument& argument) {
  PyObject* item = Py_NewRef(sequence.items()[k]);
  const Reading reading = read_operand(item, argument);
  if (reading == Reading::unknown && (!is_traced(item) || is_alive(as_traced(item))))
    set_no_number(place, k, item);
  Py_DECREF(item);
  return reading == Reading::ok;
}

bool read_all(const Sequence& sequence, const ArgumentName& place, SymbolRow& row) {
  auto* recording = static_cast<OpenRecording*>(&row.recording());
  const std::size_t count = sequence.size();
  row.reserve(count);
  for (std::size_t k = 0; k < count; ++k) {
    PyObject* item = Py_NewRef(sequence.items()[k]);
    Symbol symbol;
    const Reading reading = read_symbol(item, recording, symbol);
    if (reading == Reading::unknown) {
      if (is_value(item)) set_mixed(place.function);
      else set_no_number(place, k, item);
    }
    Py_DECREF(item);
    if (reading != Reading::ok) return false;
    if (sequence.size() != count) return changed(place);
    row.add(symbol);
  }
  return true;
}

bool changed(const ArgumentName& place) {
  PyErr_Format(PyExc_ValueError, "%s changed while it was read", place.text().c_str());
  return false;
}

bool lengths_differ(const ArgumentName& one, std::size_t count, const ArgumentName& other,
                    std::size_t wanted) {
  if (count == wanted) return false;
  PyErr_Format(PyExc_ValueError, "%s has %zu elements and %s has %zu", one.text().c_str(), count,
               other.argument, wanted);
  return true;
}

}  // namespace tapegrad::python
