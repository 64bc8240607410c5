// The table of the lines of Python that asked for guards. A line stays in it as long as a recording
// or a program refers to it.
#include <map>
#include <string>

#include "traced/traced.hpp"

namespace tapegrad::python {

namespace {

// A file and a line number. Many functions may share one, since functions compiled from text have
// no file of their own.
using FileLine = std::pair<std::string, int>;

// An entry of the table: its line, and the number of leases on it.
struct Source {
  std::map<FileLine, std::uint32_t>::const_iterator line;
  std::size_t leases = 0;
};

std::map<FileLine, std::uint32_t> numbers;
std::vector<Source> sources;
std::vector<std::uint32_t> unused;

std::uint32_t number_of(const FileLine& line) {
  const auto [at, is_new] = numbers.try_emplace(line, 0);
  if (!is_new) return at->second;
  if (unused.empty()) {
    unused.push_back(static_cast<std::uint32_t>(sources.size()));
    sources.emplace_back();
  }
  at->second = unused.back();
  unused.pop_back();
  sources[at->second] = {at, 0};
  return at->second;
}

void forget(std::uint32_t source) {
  if (--sources[source].leases != 0) return;
  numbers.erase(sources[source].line);
  unused.push_back(source);
}

}  // namespace

SourceLease::SourceLease(const SourceLease& other) : sources_(other.sources_) {
  for (const std::uint32_t source : sources_) ++sources[source].leases;
}

std::uint32_t SourceLease::of(PyObject* code, int line) {
  const auto [at, is_new] = known_.try_emplace({code, line}, 0);
  if (!is_new) return at->second;
  Py_INCREF(code);
  const char* const file = PyUnicode_AsUTF8(reinterpret_cast<PyCodeObject*>(code)->co_filename);
  if (file == nullptr) PyErr_Clear();
  at->second = number_of({file != nullptr ? file : "?", line});
  ++sources[at->second].leases;
  sources_.push_back(at->second);
  return at->second;
}

void SourceLease::clear() {
  for (const std::uint32_t source : std::exchange(sources_, {})) forget(source);
  // The lease may hold the last reference to a function's code.
  for (const auto& [key, source] : std::exchange(known_, {})) Py_DECREF(key.first);
}

std::string source_text(std::uint32_t source) {
  if (source >= sources.size() || sources[source].leases == 0) return "an unknown line";
  const auto& [file, line] = sources[source].line->first;
  return file + ":" + std::to_string(line);
}

}  // namespace tapegrad::python
