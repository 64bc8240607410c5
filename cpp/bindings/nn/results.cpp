// Conversion of the results of layers and losses to Python objects.
#include "nn/results.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/arrays.hpp"
#include "module.hpp"
#include "traced/anomalies.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

// A list of the objects make(0), make(1), ..., each a new reference. Null with an error set.
template <class Make>
PyObject* list_from(std::size_t size, Make make) {
  const auto list = py::reinterpret_steal<py::object>(PyList_New(static_cast<Py_ssize_t>(size)));
  if (!list) return nullptr;
  PyObject_GC_UnTrack(list.ptr());  // no other code may find it before it is full
  for (std::size_t k = 0; k < size; ++k) {
    PyObject* item = make(k);
    if (item == nullptr) return nullptr;
    PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k), item);
  }
  PyObject_GC_Track(list.ptr());
  return list.inc_ref().ptr();
}

PyObject* wrapped(const Argument& item, bool any_node) {
  if (item.node != no_node) return wrap(item.node);
  return any_node ? wrap(tape().leaf(item.primal)) : PyFloat_FromDouble(item.primal);
}

PyObject* wrapped(OpenRecording& recording, const Symbol& item, bool any_traced) {
  if (!item.is_constant()) return result_at(recording, item.place());
  if (!any_traced) return PyFloat_FromDouble(item.primal());
  return traced_at(recording, recording.record<op<"copy">()>(item.in(recording)));
}

OpenRecording& live(const SymbolRow& row) { return static_cast<OpenRecording&>(row.recording()); }

// The argument itself if it is a list or tuple, and a tuple of the items of another iterable; with
// `rows`, a tuple of such rows. Any other object is returned as it is; its reader may refuse it.
// Empty, with an error set, if an iterable raises an error.
py::object settled(PyObject* given, bool rows) {
  const auto itself = py::reinterpret_borrow<py::object>(given);
  if (PyFloat_Check(given) || PyLong_Check(given) || PyUnicode_Check(given) || is_value(given))
    return itself;
  py::object items = itself;
  if (!PyList_CheckExact(given) && !PyTuple_CheckExact(given)) {
    if (is_array_subclass(given)) return itself;  // the reader refuses it
    const auto iterator = py::reinterpret_steal<py::object>(PyObject_GetIter(given));
    if (!iterator) {
      if (!PyErr_ExceptionMatches(PyExc_TypeError)) return {};
      PyErr_Clear();  // the reader reports the error
      return itself;
    }
    items = py::reinterpret_steal<py::object>(PySequence_Tuple(iterator.ptr()));
  }
  if (!rows || !items) return items;
  items = py::reinterpret_steal<py::object>(PySequence_Tuple(items.ptr()));
  if (!items) return items;
  std::vector<py::object> found;
  for (const py::handle row : py::reinterpret_borrow<py::tuple>(items)) {
    found.push_back(settled(row.ptr(), false));
    if (!found.back()) return {};
  }
  py::tuple all(found.size());
  for (std::size_t k = 0; k < found.size(); ++k) all[k] = std::move(found[k]);
  return all;
}

bool has_traced(PyObject* object, int depth) {
  if (is_traced(object)) return true;
  if (depth == 0 || !(PyList_CheckExact(object) || PyTuple_CheckExact(object))) return false;
  PyObject** const items = PySequence_Fast_ITEMS(object);
  return std::any_of(items, items + PySequence_Fast_GET_SIZE(object),
                     [&](PyObject* item) { return has_traced(item, depth - 1); });
}

}  // namespace

PyObject* list_of(Row& row) {
  if (anomaly_on() && !check_nodes(row)) return nullptr;
  const bool any_node = row.any_node();
  return list_from(row.size(), [&](std::size_t k) { return wrapped(row.take(k), any_node); });
}

PyObject* scalar_of(Row& row) {
  if (anomaly_on() && !check_nodes(row)) return nullptr;
  return wrapped(row.take(0), false);
}

PyObject* list_of(SymbolRow& row) {
  const bool any_traced =
      std::any_of(row.begin(), row.end(), [](const Symbol& item) { return !item.is_constant(); });
  return list_from(row.size(),
                   [&](std::size_t k) { return wrapped(live(row), row[k], any_traced); });
}

PyObject* scalar_of(SymbolRow& row) { return wrapped(live(row), row[0], false); }

PyObject* call_in_recording(PyObject* const (&given)[4], Py_ssize_t matrices, Body* body,
                            RecordedBody* recorded) {
  py::object kept[4];
  PyObject* arguments[4] = {};
  bool any_traced = false;
  for (Py_ssize_t j = 0; j < 4; ++j) {
    if (given[j] == nullptr) continue;
    kept[j] = settled(given[j], j < matrices);
    arguments[j] = kept[j].ptr();
    if (arguments[j] == nullptr) return nullptr;
    any_traced |= has_traced(arguments[j], j < matrices ? 2 : 1);
  }
  if (!any_traced || Recording::current == nullptr) return body(tape(), arguments);
  auto& recording = static_cast<OpenRecording&>(*Recording::current);
  const ValueId begin = recording.size();
  PyObject* result = recorded(recording, arguments);
  if (result == nullptr || !anomaly_on()) return result;
  std::vector<ValueId> places;
  const auto add = [&](PyObject* object) {
    if (is_traced(object)) places.push_back(as_traced(object)->place);
  };
  add(result);
  for (Py_ssize_t k = 0; PyList_CheckExact(result) && k < PyList_GET_SIZE(result); ++k)
    add(PyList_GET_ITEM(result, k));
  if (!check_recorded(recording, begin, places)) Py_CLEAR(result);
  return result;
}

void add_function(py::module_& module, PyMethodDef& definition) {
  const auto module_name = py::str("tapegrad");
  PyObject* function = PyCFunction_NewEx(&definition, nullptr, module_name.ptr());
  if (function == nullptr || PyModule_AddObject(module.ptr(), definition.ml_name, function) < 0)
    throw py::error_already_set();
  module.attr("__all__").attr("append")(definition.ml_name);
}

}  // namespace tapegrad::python
