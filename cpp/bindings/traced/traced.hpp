// Traced numbers: the Python objects that a function gets in place of floats inside a transform.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/lines.hpp"
#include "tapegrad/detail/ir/recording.hpp"
#include "traced/dependence.hpp"
#include "value/handle.hpp"

namespace tapegrad::python {

// A lease on lines of Python: `source_text` knows a line as long as a lease on it exists. The last
// lease to end removes the line from the table of sources.
class SourceLease {
 public:
  SourceLease() = default;
  SourceLease(const SourceLease& other);
  SourceLease& operator=(const SourceLease&) = delete;
  ~SourceLease() { clear(); }

  // The number of the line that runs now in `code`. The lease keeps a reference to `code` and looks
  // up each line once.
  std::uint32_t of(PyObject* code, int line);
  void clear();

 private:
  std::map<std::pair<PyObject*, int>, std::uint32_t> known_;
  std::vector<std::uint32_t> sources_;
};

// A recording that Python opens. It is never destroyed but reused. A traced number that outlives
// an opening detects this by the id, which changes every time.
struct OpenRecording : Recording {
  OpenRecording();
  std::uint64_t id = 0;
  std::uint64_t open_id = 0;  // equal to id while it is open, else 0
  SourceLease sources;        // the lines of its guards
  Dependence dependence;
  // A scope that can be rolled back: its first instruction, the number of constants before it, and
  // the number of living Python objects for values in it.
  struct RollbackPoint {
    ValueId begin;
    std::size_t constants;
    std::uint32_t alive;
  };
  std::vector<RollbackPoint> passing{{0, 0, 0}};
  Lines lines;  // the lines of values recorded under detect_anomaly()

  // Begins a rollback scope and returns its level.
  std::uint32_t begin_passing() {
    passing.push_back({size(), constants().size(), 0});
    return static_cast<std::uint32_t>(passing.size() - 1);
  }
  // Removes what was recorded since begin_passing(). It stays if a Python object for one of the
  // values is alive, or if the recording has guards, which may use the values.
  void end_passing(std::uint32_t level) {
    if (guarding) return;
    for (std::size_t k = level; k < passing.size(); ++k)
      if (passing[k].alive != 0) return;
    rewind(passing[level].begin, passing[level].constants);
    lines.rewind(passing[level].begin);
    dependence.forget_from(passing[level].begin);
    passing.resize(level);
  }
};

// The Python object for a value of a recording, made by traced_at().
struct Traced {
  PyObject_HEAD
  OpenRecording* recording;
  std::uint64_t id;
  ValueId place;
  std::uint32_t level;  // index of its rollback scope
};

inline PyTypeObject* traced_type = nullptr;

inline bool is_traced(PyObject* object) { return Py_TYPE(object) == traced_type; }
inline Traced* as_traced(PyObject* object) { return reinterpret_cast<Traced*>(object); }

// True if the recording of the number is still open; otherwise false, with a RuntimeError set.
bool is_alive(const Traced* traced);
inline double primal_of(const Traced* traced) { return traced->recording->primal(traced->place); }

// A new object for a value of the recording. Null with an error set.
PyObject* traced_at(OpenRecording& recording, ValueId place);
// A new object for a symbol of the recording, a float for a constant. Null with an error set.
PyObject* object_of(OpenRecording& recording, const Symbol& symbol);

// Reads the symbol of a traced or plain number; `unknown` sets no error. Sets `recording` to that
// of the traced number. If `recording` is another one already, the result is an error.
Reading read_symbol(PyObject* object, OpenRecording*& recording, Symbol& symbol);

// Applies an operation of the table to symbols, at least one of which is traced. Returns a new
// object, or null with an error set.
PyObject* apply_to_symbols(std::size_t k, OpenRecording& recording, std::span<const Symbol> x);

// Answers a question about x and y that Python asks, such as x < y. If the recording has guards,
// records the answer as one.
double told(OpenRecording& recording, Guard::Kind kind, ValueId x, ValueId y = no_value);
inline double answer(const Traced* traced, Guard::Kind kind) {
  return told(*traced->recording, kind, traced->place);
}

// True if the number is an integer. Like told(), this records a guard if the recording has guards.
bool tells_whole(Traced* traced);

// A new object for the result of an operation. Under no_grad() the result is a constant.
PyObject* result_at(OpenRecording& recording, ValueId place);
// Sets a TypeError for a Value and a traced number in one operation. Returns null.
PyObject* set_mixed(const char* function);

// The number of the line of Python that runs now. source_text() knows the number while a lease on
// it exists: that of the open recording, or that of a program made from it.
std::uint32_t source_here();
std::string source_text(std::uint32_t source);

// A scope in which symbols record into the given recording.
class RecordingIn {
 public:
  explicit RecordingIn(Recording& recording)
      : before_(std::exchange(Recording::current, &recording)) {}
  RecordingIn(const RecordingIn&) = delete;
  RecordingIn& operator=(const RecordingIn&) = delete;
  ~RecordingIn() { Recording::current = before_; }

 private:
  Recording* before_;
};

}  // namespace tapegrad::python
