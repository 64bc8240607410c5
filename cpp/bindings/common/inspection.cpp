// Information about the core for Python: the table of operations, the arena, and the build.
#include <string>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "common/signature.hpp"
#include "module.hpp"
#include "tapegrad/version.hpp"
#include "value/handle.hpp"

namespace tapegrad::python {

namespace py = pybind11;

namespace {

py::dict describe(const Description& what) {
  py::list parameters, domain;
  for (std::size_t j = 0; j < what.parameters.size() && !what.parameters[j].empty(); ++j) {
    parameters.append(what.parameters[j]);
    domain.append(py::make_tuple(what.domain[j].low, what.domain[j].high));
  }
  py::dict entry;
  entry["name"] = what.name;
  entry["alias"] = what.alias.empty() ? py::object(py::none()) : py::str(what.alias);
  entry["symbol"] = what.symbol;
  entry["summary"] = what.summary;
  entry["arity"] = what.arity == variadic ? py::object(py::none()) : py::int_(what.arity);
  entry["parameters"] = py::tuple(parameters);
  entry["domain"] = py::tuple(domain);
  entry["constant_last"] = what.constant_last;
  return entry;
}

py::dict build() {
  py::dict entry;
  entry["version"] = TAPEGRAD_VERSION;
#if defined(__clang__)
  entry["compiler"] = "clang " __clang_version__;
#elif defined(__GNUC__)
  entry["compiler"] = "gcc " __VERSION__;
#elif defined(_MSC_VER)
  entry["compiler"] = "msvc " + std::to_string(_MSC_VER);
#endif
  entry["flags"] = TAPEGRAD_BUILD_FLAGS;
  entry["standard"] = static_cast<long>(__cplusplus);
  return entry;
}

py::dict arena() {
  py::dict entry;
  entry["nodes"] = tape().pool().alive() - 1;  // excludes unset_node
  entry["capacity"] = tape().pool().capacity();
  entry["limit"] = tape().pool().limit();
  entry["bytes"] = tape().bytes();
  entry["bytes_per_node"] = bytes_per_node;
  entry["bytes_per_handle"] = sizeof(Handle);
  return entry;
}

}  // namespace

void register_inspection(py::module_& module) {
  module.attr("__version__") = TAPEGRAD_VERSION;
  module.def(
      "operations",
      [] {
        py::list entries;
        for (const Description& what : ops::descriptions)
          if (!what.inner) entries.append(describe(what));
        return py::tuple(entries);
      },
      "Return the table of operations, a dict for each.");
  module.def("build", build, "Return the version, compiler and flags of this build.");
  module.def("arena", arena, "Return the use and the limits of the arena.");
}

}  // namespace tapegrad::python
