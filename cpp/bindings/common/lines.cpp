// The search for the line of Python that runs.
#include "common/lines.hpp"

#include <string_view>

namespace tapegrad::python {

namespace py = pybind11;

namespace {

std::string_view file_of(PyObject* code) {
  Py_ssize_t size = 0;
  const char* const text =
      PyUnicode_AsUTF8AndSize(reinterpret_cast<PyCodeObject*>(code)->co_filename, &size);
  if (text == nullptr) PyErr_Clear();
  return text != nullptr ? std::string_view(text, static_cast<std::size_t>(size)) : "?";
}

// The folder of the package, with a separator at its end; empty if it is not known.
std::string folder_of_package() {
  const auto name = py::reinterpret_steal<py::object>(PyUnicode_FromString("tapegrad"));
  const auto package =
      py::reinterpret_steal<py::object>(name ? PyImport_GetModule(name.ptr()) : nullptr);
  const auto file = py::reinterpret_steal<py::object>(
      package ? PyObject_GetAttrString(package.ptr(), "__file__") : nullptr);
  const char* const text =
      file && PyUnicode_Check(file.ptr()) ? PyUnicode_AsUTF8(file.ptr()) : nullptr;
  if (text == nullptr) PyErr_Clear();
  const std::string path = text != nullptr ? text : "";
  return path.substr(0, path.find_last_of("/\\") + 1);
}

bool is_own(PyObject* code) {
  static const std::string& folder = *new std::string(folder_of_package());
  return !folder.empty() && file_of(code).starts_with(folder);
}

}  // namespace

Line Line::here() {
  Line line;
  const bool failed = PyErr_Occurred() != nullptr;
  auto frame = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  while (frame) {
    auto* const raw = reinterpret_cast<PyFrameObject*>(frame.ptr());
    auto code =
        py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetCode(raw)));
    const bool own = is_own(code.ptr());
    if (!own || !line.is_known()) {
      line.code_ = std::move(code);
      line.number_ = PyFrame_GetLineNumber(raw);
    }
    if (!own) break;
    frame = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetBack(raw)));
  }
  if (!failed) PyErr_Clear();  // without memory there is no frame, and the line stays unknown
  return line;
}

std::string Line::text() const {
  return std::string(file_of(code_.ptr())) + ":" + std::to_string(number_);
}

}  // namespace tapegrad::python
