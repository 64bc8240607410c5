// Functions that read and write the data and grads of many Values in one call.
#include "value/parameters.hpp"

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "common/arrays.hpp"
#include "common/references.hpp"
#include "module.hpp"

namespace tapegrad::python {

namespace py = pybind11;

Parameters::Parameters(py::handle given, const char* name) : name_(name) {
  if (is_value(given.ptr())) {
    sequence_ = py::make_tuple(given);
    return;
  }
  if (refuse_array_subclass(given.ptr(), name)) throw py::error_already_set();
  sequence_ = py::reinterpret_steal<py::object>(PySequence_Fast(given.ptr(), ""));
  if (sequence_) return;
  if (PyErr_ExceptionMatches(PyExc_TypeError) && Py_TYPE(given.ptr())->tp_iter == nullptr)
    PyErr_Format(PyExc_TypeError, "%s must be Values, not '%s'", name,
                 Py_TYPE(given.ptr())->tp_name);
  throw py::error_already_set();
}

void Parameters::check() const {
  for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(sequence_.ptr()); ++k) {
    PyObject* item = PySequence_Fast_GET_ITEM(sequence_.ptr(), k);
    if (is_value(item)) continue;
    PyErr_Format(PyExc_TypeError, "%s[%zd] must be a Value, not '%s'", name_, k,
                 Py_TYPE(item)->tp_name);
    throw py::error_already_set();
  }
}

namespace {

// The doubles of an object with a C-contiguous buffer of format 'd'. The buffer stays acquired for
// the life of this object. The constructor raises a TypeError, which contains `name`, for other
// objects.
class Doubles {
 public:
  Doubles(py::handle object, bool writable, const char* name) {
    if (!PyObject_CheckBuffer(object.ptr())) {
      PyErr_Format(PyExc_TypeError, "%s must be real numbers, not '%s'", name,
                   Py_TYPE(object.ptr())->tp_name);
      throw py::error_already_set();
    }
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) < 0) throw py::error_already_set();
    if (view_.itemsize == sizeof(double) && view_.format != nullptr &&
        (std::strcmp(view_.format, "d") == 0 || std::strcmp(view_.format, "@d") == 0))
      return;
    PyErr_Format(PyExc_TypeError, "%s must be a buffer of format 'd', not '%s'", name,
                 view_.format != nullptr ? view_.format : "B");
    PyBuffer_Release(&view_);
    throw py::error_already_set();
  }
  Doubles(const Doubles&) = delete;
  Doubles& operator=(const Doubles&) = delete;
  ~Doubles() { PyBuffer_Release(&view_); }

  std::span<double> span() const {
    return {static_cast<double*>(view_.buf), static_cast<std::size_t>(view_.len) / sizeof(double)};
  }

 private:
  Py_buffer view_;
};

void need_count(const Parameters& values, std::size_t count, const char* name) {
  if (values.count() == count) return;
  PyErr_Format(PyExc_ValueError, "there are %zu values and %zu %s", values.count(), count, name);
  throw py::error_already_set();
}

template <double& (*at)(Index)>
void read(const py::object& given, const py::object& out) {
  const Parameters values(given, "values");
  const Doubles numbers(out, true, "out");
  need_count(values, numbers.span().size(), "places in out");
  values.check();
  for (std::size_t k = 0; k < values.count(); ++k) numbers.span()[k] = at(values(k));
}

std::vector<double> converted(const py::object& given) {
  const auto sequence = owned<py::tuple>(PySequence_Tuple(given.ptr()));
  std::vector<double> numbers(sequence.size());
  for (std::size_t k = 0; k < numbers.size(); ++k) {
    PyObject* item = PyTuple_GET_ITEM(sequence.ptr(), static_cast<Py_ssize_t>(k));
    if (PyFloat_CheckExact(item)) {
      numbers[k] = PyFloat_AS_DOUBLE(item);
      continue;
    }
    const std::string name = "numbers[" + std::to_string(k) + "]";
    if (!need_number(item, name.c_str(), numbers[k])) throw py::error_already_set();
  }
  return numbers;
}

template <double& (*at)(Index)>
void write_each(const Parameters& values, std::span<const double> numbers) {
  need_count(values, numbers.size(), "numbers");
  values.check();
  ++changes;
  for (std::size_t k = 0; k < values.count(); ++k) at(values(k)) = numbers[k];
}

// Sets data or grads to given numbers. The numbers are read first: that may run Python code, and no
// step after it does.
template <double& (*at)(Index)>
void write(const py::object& given, const py::object& numbers) {
  const Parameters values(given, "values");
  if (PyList_Check(numbers.ptr()) || PyTuple_Check(numbers.ptr()))
    return write_each<at>(values, converted(numbers));
  double number = 0.0;
  const Reading reading = read_number(numbers.ptr(), number);
  if (reading == Reading::error) throw py::error_already_set();
  if (reading == Reading::unknown) {
    const Doubles buffer(numbers, false, "numbers");
    return write_each<at>(values, buffer.span());
  }
  values.check();
  ++changes;
  for (std::size_t k = 0; k < values.count(); ++k) at(values(k)) = number;
}

double& primal(Index node) { return tape().cell(node).primal; }
double& adjoint(Index node) { return tape().link(node).adjoint; }

}  // namespace

void register_bulk(py::module_& module) {
  const auto add = [&](const char* name, auto* function, const char* second, const char* text) {
    module.def(name, function, py::arg("values"), py::arg(second), py::pos_only(), text);
  };
  add("read_data", read<primal>, "out", "Copy the data of Values to a buffer of doubles.");
  add("read_grad", read<adjoint>, "out", "Copy the grads of Values to a buffer of doubles.");
  add("write_data", write<primal>, "numbers",
      "Set the data of Values to the numbers of a buffer, list or tuple, or all to one number.");
  add("write_grad", write<adjoint>, "numbers",
      "Set the grads of Values to the numbers of a buffer, list or tuple, or all to one number.");
}

}  // namespace tapegrad::python
