// Pytrees: numbers in nested containers, as arguments and results of transformed functions.
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

// The arguments of a call that are static or read as floats. Positions may be negative, which
// counts from the end; static arguments may also have names.
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

// A tree definition: the structure of a pytree, as a list of its nodes in depth-first order.
class TreeDef {
 public:
  // The kinds of nodes.
  enum class Kind : std::uint8_t {
    number,
    array,
    list,
    tuple,
    named_tuple,   // of the class `object`
    dict,          // with the keys `object`, of the class `more`
    dataclass,     // of the class `object`, with its fields in `more`
    constant,      // anything else: `object` itself or a weak reference to it
    integers,      // an array of integers or booleans, compared by content: `object` is a copy
    static_value,  // a static argument, equal to `object`
  };
  // A node. Its children follow it in the list.
  struct Node {
    Kind kind;
    std::size_t count = 0;  // of children or elements; the hash of a static argument
    py::object object{}, more{};
    std::vector<py::ssize_t> shape{};
    bool floating = false;  // integers are read as floats
    bool weak = false;      // `object` is a weak reference
  };

  // The objects that a tree may hold besides numbers.
  enum class Holding : std::uint8_t {
    numbers,    // nothing: another object raises TypeError
    constants,  // anything; integers above 2**53 are constants
    arguments,  // the same; arrays of integers and named constants are constants, too
  };

  // A position in a tree, for messages: the tree's name, or an entry of an outer position.
  struct Where;

  // Appends the structure of `tree`, and its numbers, which are floats and traced numbers. `name`
  // appears in messages.
  void add(py::handle tree, const std::string& name, Holding holding,
           std::vector<py::object>& numbers);
  // The same for a call of the function `name`: the pair of its arguments and keywords.
  void add_call(py::handle args, py::handle keywords, const Exceptions& exceptions,
                const std::string& name, std::vector<py::object>& numbers);

  // The tree with these numbers. An array becomes one of floats, or one of objects if an element is
  // traced. Raises ValueError for a wrong number of numbers.
  py::object unflatten(const std::vector<py::object>& numbers) const;
  py::object unflatten(const double* numbers) const;
  // The tree with these objects in place of its numbers and arrays.
  py::object rebuild(const std::vector<py::object>& blocks) const;

  // Reads the numbers of a call into `numbers`, if its structure is this one; `keywords` may be
  // null. Returns false, with no error set, for another structure or an object that takes longer to
  // read. May run any code.
  bool read_call(py::handle args, py::handle keywords, double*& numbers) const;

  // Replaces constants by weak references where their types allow it, so that the programs of a
  // function do not keep its arguments alive. No call matches a tree definition with a dead
  // constant.
  void weaken();
  bool is_dead() const;

  std::size_t size() const { return size_; }  // of its numbers
  const std::vector<Node>& nodes() const { return nodes_; }
  // True for equal structures. May run any code, since keys and static arguments define their own
  // equality.
  bool operator==(const TreeDef& other) const { return equals(other, true); }
  // True if numbers are nested in the same way; constants may differ.
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
  // The arguments of a call that are constants, by node and position.
  std::vector<std::pair<std::size_t, Py_ssize_t>> leading_;
  std::size_t size_ = 0;
};

// True for the three kinds of constants.
bool is_constant(TreeDef::Kind kind);
// True if the object is the constant of the node. May run any code.
bool same_constant(const TreeDef::Node& node, py::handle object);
// The referent of a weak reference; None if it is dead.
py::object referent_of(py::handle reference);

bool is_numpy_integer(py::handle object);
// True for a number that is a constant among the arguments of a compiled function: a NumPy boolean
// or a member of an enumeration. Programs compare these by `is`.
bool is_named_constant(py::handle object);
// The elements of an array of objects in C order, regardless of methods that its class overrides.
std::vector<py::object> elements_of(const py::array& array);
// True if the array has an integer that no float represents exactly.
bool loses_digits(const py::array& array);

// The precision of an integer as a float. Up to 2**53 in magnitude all are exact, beyond it only
// some.
enum class Digits : std::uint8_t { small, exact, lost };
// The precision of an object; `small` for one that is not an integer. Sets no error.
Digits digits_of(py::handle object);

}  // namespace tapegrad::python
