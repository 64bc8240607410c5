// Trees: numbers in nested containers, as arguments and results of transformed functions.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "common/references.hpp"
#include "traced/traced.hpp"

namespace tapegrad::python {

namespace py = pybind11;

// Which arguments of a call are not read as others are: by position, negative ones from the end,
// and by name.
struct Exceptions {
  std::vector<Py_ssize_t> static_positions;
  std::vector<py::object> static_names;  // of exact type str
  std::vector<Py_ssize_t> floating_positions;
  bool all_floating = false;

  bool is_static(Py_ssize_t position, Py_ssize_t count) const {
    return contains(static_positions, position, count);
  }
  bool is_floating(Py_ssize_t position, Py_ssize_t count) const {
    return all_floating || contains(floating_positions, position, count);
  }
  bool is_static(py::handle name) const;

 private:
  static bool contains(const std::vector<Py_ssize_t>& positions, Py_ssize_t position,
                       Py_ssize_t count) {
    for (const Py_ssize_t each : positions)
      if (each == position || each + count == position) return true;
    return false;
  }
};

// How numbers are nested: a tree's nodes in the order in which they are met.
class TreeDef {
 public:
  enum class Kind : std::uint8_t {
    number,
    array,
    list,
    tuple,
    named_tuple,   // of the class `object`
    dict,          // with the keys `object`
    dataclass,     // of the class `object`, with its fields in `more`
    constant,      // anything else: `object` itself, or a weak reference to it
    integers,      // an array of integers or booleans by its content: `object` is a copy of it
    static_value,  // a static argument: what equals `object`
  };
  struct Node {
    Kind kind;
    std::size_t count = 0;  // of children; of an array's elements; the hash of a static argument
    py::object object{}, more{};
    std::vector<py::ssize_t> shape{};
    bool floating = false;  // integers are read as floats
    bool weak = false;      // `object` is a weak reference
  };

  // What besides numbers a tree may hold.
  enum class Holding : std::uint8_t {
    numbers,    // nothing else: anything else is a TypeError
    constants,  // anything; integers above 2**53 are among the constants
    arguments,  // the same, and arrays of integers and booleans and named constants are too
  };

  // A place in a tree, for messages: the name of the tree, or an entry of an outer place.
  struct Where;

  // Appends what `tree` is, and the numbers in it: floats and traced numbers. `name` is for
  // messages.
  void add(py::handle tree, const std::string& name, Holding holding,
           std::vector<py::object>& numbers);
  // The same for a call of the function `name`: a pair of its arguments and keywords.
  void add_call(py::handle args, py::handle keywords, const Exceptions& exceptions,
                const std::string& name, std::vector<py::object>& numbers);

  // The tree with these numbers in it; blocks of arrays become arrays of floats, or of objects
  // where one of them is traced. ValueError for a wrong number of them.
  py::object unflatten(const std::vector<py::object>& numbers) const;
  py::object unflatten(const double* numbers) const;
  // The tree with an object in the place of every number and array.
  py::object rebuild(const std::vector<py::object>& blocks) const;

  // Reads the numbers of a call whose structure is that of its arguments and keywords, which may
  // be null. False, with no error set, where it has another one or holds anything that takes longer
  // to read. May run any code.
  bool read_call(py::handle args, py::handle keywords, double*& numbers) const;

  // Keeps constants that can have weak references by these: what a function was called with is not
  // kept alive by its programs. A tree with a dead constant in it never comes again.
  void weaken();
  bool is_dead() const;

  std::size_t size() const { return size_; }  // how many numbers
  const std::vector<Node>& nodes() const { return nodes_; }
  // May run any code, as keys and static arguments say what they are equal to.
  bool operator==(const TreeDef& other) const { return equals(other, true); }
  // Whether numbers are nested in the same way, whatever the constants are.
  bool nests_as(const TreeDef& other) const { return equals(other, false); }
  int traverse(visitproc visit, void* arg) const;

 private:
  void add(py::handle tree, const Where& where, Holding holding, bool floating,
           std::vector<py::object>& numbers);
  void add_static(py::handle value, const Where& where);
  void add_array(py::handle tree, const Where& where, Holding holding, bool floating,
                 std::vector<py::object>& numbers);
  template <class Take>
  py::object build(std::size_t& node, Take& take) const;
  bool read(std::size_t& node, py::handle tree, double*& numbers) const;
  bool read_array(const Node& node, py::handle tree, double*& numbers) const;
  bool equals(const TreeDef& other, bool constants) const;

  std::vector<Node> nodes_;
  // The constants among the arguments of a call: nodes and positions.
  std::vector<std::pair<std::size_t, Py_ssize_t>> leading_;
  std::size_t size_ = 0;
};

// Constants of all kinds, and whether an object is one. The latter may run any code.
bool is_constant(TreeDef::Kind kind);
bool same_constant(const TreeDef::Node& node, py::handle object);
// None where it is dead.
py::object referent_of(py::handle reference);

bool is_numpy_integer(py::handle object);
// Whether a number among the arguments of a compiled function is a constant all the same: NumPy's
// booleans and the members of enumerations, which programs tell apart by `is`.
bool is_named_constant(py::handle object);
// The elements of an array of objects in C order, whatever its class says of itself.
std::vector<py::object> elements_of(const py::array& array);
// Whether an array has integers that no float holds.
bool loses_digits(const py::array& array);

// How an integer looks as a float: below 2**53 in magnitude all are exact, beyond it some.
enum class Digits : std::uint8_t { small, exact, lost };
// Small for what is no integer. Sets no error.
Digits digits_of(py::handle object);

}  // namespace tapegrad::python
