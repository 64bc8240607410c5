// What a layer or a loss gives to Python.
#include "results.hpp"

#include <algorithm>
#include <vector>

#include "module.hpp"

namespace tapegrad::python {

namespace {

// Nodes recorded on the way to the results have no handles, and so have not been looked at yet.
bool check_anomalies(const Row& row) {
  std::vector<Index> found, waiting;
  for (const Argument& item : row)
    if (item.node != no_node) waiting.push_back(item.node);
  while (!waiting.empty()) {
    const Index node = waiting.back();
    waiting.pop_back();
    if (std::find(found.begin(), found.end(), node) != found.end()) continue;
    found.push_back(node);
    tape().each_operand(node, [&](Index operand, double) {
      if (tape().cell(operand).handle == nullptr) waiting.push_back(operand);
    });
  }
  const Blocks& blocks = tape().blocks();
  std::sort(found.begin(), found.end(),
            [&](Index a, Index b) { return blocks.order(a) < blocks.order(b); });
  return std::all_of(found.begin(), found.end(), check_anomaly);
}

PyObject* wrapped(const Argument& item, bool any_node) {
  if (item.node != no_node) return wrap(item.node);
  return any_node ? wrap(tape().leaf(item.primal)) : PyFloat_FromDouble(item.primal);
}

}  // namespace

PyObject* list_of(Row& row) {
  if (anomaly_on && !check_anomalies(row)) return nullptr;
  const bool any_node = row.any_node();
  const pybind11::object list = pybind11::reinterpret_steal<pybind11::object>(
      PyList_New(static_cast<Py_ssize_t>(row.size())));
  if (!list) return nullptr;
  PyObject_GC_UnTrack(list.ptr());  // nobody may find it before it is full
  for (std::size_t k = 0; k < row.size(); ++k) {
    PyObject* item = wrapped(row.take(k), any_node);
    if (item == nullptr) return nullptr;
    PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k), item);
  }
  PyObject_GC_Track(list.ptr());
  return list.inc_ref().ptr();
}

PyObject* scalar_of(Row& row) {
  if (anomaly_on && !check_anomalies(row)) return nullptr;
  return wrapped(row.take(0), false);
}

void add_function(pybind11::module_& module, PyMethodDef& definition) {
  const auto module_name = pybind11::str("tapegrad");
  PyObject* function = PyCFunction_NewEx(&definition, nullptr, module_name.ptr());
  if (function == nullptr || PyModule_AddObject(module.ptr(), definition.ml_name, function) < 0)
    throw pybind11::error_already_set();
  module.attr("__all__").attr("append")(definition.ml_name);
}

}  // namespace tapegrad::python
