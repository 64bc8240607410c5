// Search for NaN and infinities in values and derivatives, and messages that name their origin.
#include "traced/anomalies.hpp"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

namespace tapegrad::python {

namespace py = pybind11;

namespace {

std::string text_of(double x) {
  char* const text = PyOS_double_to_string(x, 'r', 0, Py_DTSF_ADD_DOT_0, nullptr);
  if (text == nullptr) PyErr_Clear();
  std::string result = text != nullptr ? text : std::to_string(x);
  PyMem_Free(text);
  return result;
}
const char* kind_of(double x) { return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf"; }

std::string labelled(Index node) {
  const NodeExtra* const extra = tape().find_extra(node);
  return extra != nullptr && !extra->label.empty() ? " (label '" + extra->label + "')" : "";
}

// The texts text(0), text(1), ... with commas between them; at most eight.
template <class Text>
std::string listed(std::size_t count, Text text) {
  constexpr std::size_t most = 8;
  std::string all;
  for (std::size_t k = 0; k < std::min(count, most); ++k) all += (k > 0 ? ", " : "") + text(k);
  return count > most ? all + ", ... (" + std::to_string(count) + " operands)" : all;
}

double primal_of(const Operand& operand) {
  return operand.node == no_node ? operand.partial : tape().cell(operand.node).primal;
}

// A description such as "log of -1.0 (label 'price')".
std::string told(Index node) {
  const Description* const what = description(tape().cell(node).op);
  std::vector<Operand> operands;
  tape().append_operands(node, operands);
  if (tape().cell(node).flags & flag::constant_left) std::swap(operands[0], operands[1]);
  return (what != nullptr ? std::string(what->name) : "a custom node") + labelled(node) + " of " +
         listed(operands.size(), [&](std::size_t k) {
           const Index operand = operands[k].node;
           return text_of(primal_of(operands[k])) + (operand != no_node ? labelled(operand) : "");
         });
}

std::string line_of(Index node) {
  const NodeExtra* const extra = tape().find_extra(node);
  if (extra == nullptr || extra->origin == nullptr)
    return "; it was made outside detect_anomaly(), so its line is not known";
  return "; it was made at " + static_cast<const Origin*>(extra->origin.get())->line.text();
}

void note_line(Index node) {
  NodeExtra& extra = tape().need_extra(node);
  if (extra.origin == nullptr) extra.origin = std::make_unique<Origin>(Line::here());
}

// The operands of an instruction, or of its rule.
std::vector<ValueId> operands_of(const Recording& recording, ValueId i) {
  const Instruction& at = recording[i];
  if (at.op == Op::custom) return recording.groups()[at.operand[0]].operands;
  return {at.operand, at.operand + operand_count(at.op)};
}

std::string told(const Recording& recording, ValueId i) {
  const Description* const what = description(recording[i].op);
  const std::vector<ValueId> operands = operands_of(recording, i);
  return (what != nullptr ? std::string(what->name) : "a custom rule") + " of " +
         listed(operands.size(),
                [&](std::size_t k) { return text_of(recording.primal(operands[k])); });
}

std::string line_of(const Recording& recording, ValueId i) {
  const Line line = static_cast<const OpenRecording&>(recording).lines.at(i);
  return line.is_known() ? ", at " + line.text() : "";
}

// True if the operation passes a finite adjoint to its operand `k`. False for a rule, for which the
// answer is not known.
bool passes_finite(const Recording& recording, ValueId i, std::size_t k, double adjoint) {
  const Instruction& at = recording[i];
  if (description(at.op) == nullptr) return false;
  std::vector<double> x;
  for (const ValueId operand : operands_of(recording, i)) x.push_back(recording.primal(operand));
  const auto& entry = operation_functions[static_cast<std::size_t>(at.op)];
  const double partial = entry.partial(x, at.primal, k);
  return is_absent(partial) || std::isfinite(adjoint * partial);
}

void set_error(const std::string& text) { PyErr_SetString(PyExc_FloatingPointError, text.c_str()); }

}  // namespace

bool check_node(Index node) {
  const double y = tape().cell(node).primal;
  if (tape().cell(node).op == Op::leaf) return true;
  note_line(node);
  if (std::isfinite(y)) return true;
  std::vector<Operand> operands;
  tape().append_operands(node, operands);
  for (const Operand& operand : operands)
    if (accounts_for(primal_of(operand), y)) return true;
  set_error(told(node) + " gave " + kind_of(y));
  return false;
}

bool check_nodes(std::span<const Argument> results) {
  // The results, and the nodes below them that have neither a handle nor a known line. They were
  // recorded just now, or before the mode was on.
  std::vector<Index> found, waiting;
  std::unordered_set<Index> seen;
  const auto visit = [&](Index node) {
    if (seen.insert(node).second) waiting.push_back(node);
  };
  for (const Argument& result : results)
    if (result.node != no_node) visit(result.node);
  while (!waiting.empty()) {
    const Index node = waiting.back();
    waiting.pop_back();
    const NodeExtra* const extra = tape().find_extra(node);
    if (extra != nullptr && extra->origin != nullptr) continue;
    found.push_back(node);
    tape().each_operand(node, [&](Index operand, double) {
      if (!tape().has_handle(operand)) visit(operand);
    });
  }
  const NodePool& blocks = tape().pool();
  std::sort(found.begin(), found.end(),
            [&](Index a, Index b) { return blocks.order(a) < blocks.order(b); });
  // A number that is not finite matters only if it contributes to a result that is not finite.
  std::unordered_set<Index> counts;
  for (const Argument& result : results)
    if (result.node != no_node) counts.insert(result.node);
  for (auto node = found.rbegin(); node != found.rend(); ++node) {
    if (tape().cell(*node).op != Op::leaf) note_line(*node);
    if (!counts.contains(*node) || std::isfinite(tape().cell(*node).primal)) continue;
    tape().each_operand(*node, [&](Index operand, double) { counts.insert(operand); });
  }
  return std::all_of(found.begin(), found.end(),
                     [&](Index node) { return !counts.contains(node) || check_node(node); });
}

Index watched(Index node) {
  if (anomaly_on()) {
    const bool passed = guarded([&] { return check_node(node); });
    if (!passed) {
      tape().release(node);
      return no_node;
    }
  }
  if (!no_grad_on() || tape().cell(node).op == Op::leaf) return node;
  const double primal = tape().cell(node).primal;
  tape().release(node);
  return tape().leaf(primal);
}

void checked_backward(Index root, double seed) {
  // An operand, with its adjoint before the sweep visits its user.
  struct Before {
    Index node;
    double partial, adjoint;
  };
  tape().link(root).adjoint = seed;
  if (seed == 0.0) return;
  tapegrad::Reach reach(tape(), root);
  walk(tape(), root, [&](Index node) {
    if (!reach.passes(node)) return;
    std::vector<Before> before;
    tape().each_operand(node, [&](Index operand, double partial) {
      if (!is_absent(partial)) before.push_back({operand, partial, tape().link(operand).adjoint});
    });
    const bool by_function = tape().backward_of(node) != nullptr;
    tape().push_adjoint(node);
    const double own = tape().link(node).adjoint;
    std::vector<Operand> operands;
    tape().append_operands(node, operands);
    for (const auto& [operand, partial, was] : before) {
      const double adjoint = tape().link(operand).adjoint;
      if (std::isfinite(adjoint)) continue;
      // The term that a Python function adds is unknown. A sum of finite terms that is not finite
      // is not inherited from a term.
      const double added = own * partial;
      const bool by_sum = by_function || std::isfinite(added);
      const double made = by_sum ? adjoint : added;
      if (accounts_for(own, made) || (by_sum && accounts_for(was, made))) continue;
      if (std::any_of(operands.begin(), operands.end(),
                      [&](const Operand& x) { return accounts_for(primal_of(x), made); }))
        continue;
      set_error("backward: the gradient became " + std::string(kind_of(adjoint)) + " in " +
                told(node) + ", whose own gradient is " + text_of(own) +
                " and partial derivative " + text_of(partial) + line_of(node));
      throw PythonError{};
    }
  });
}

bool check_recorded(OpenRecording& recording, ValueId begin, std::span<const ValueId> results) {
  const ValueId end = recording.size();
  recording.lines.add(begin, end, Line::here());
  std::vector<bool> counts(end - begin);
  const auto count = [&](ValueId i) {
    if (i >= begin && i < end && !std::isfinite(recording.primal(i))) counts[i - begin] = true;
  };
  for (const ValueId result : results) count(result);
  std::optional<ValueId> first;
  for (ValueId i = end; i-- > begin;) {
    if (!counts[i - begin] || description(recording[i].op) == nullptr) continue;
    bool inherited = false;
    for (const ValueId operand : operands_of(recording, i)) {
      count(operand);
      inherited |= accounts_for(recording.primal(operand), recording.primal(i));
    }
    if (!inherited) first = i;
  }
  if (!first) return true;
  set_error(told(recording, *first) + " gave " + kind_of(recording.primal(*first)) +
            line_of(recording, *first));
  return false;
}

void check_adjoints(const ActiveRange& range, const Slopes& adjoints,
                    std::span<const ValueId> roots, std::span<const double> seeds) {
  const Recording& recording = range.recording();
  const auto adjoint_of = [&](ValueId i) {
    return range.varies(i) ? adjoints[i - range.begin()] : std::nullopt;
  };
  const auto is_bad = [&](ValueId i) {
    const auto adjoint = adjoint_of(i);
    return adjoint && !std::isfinite(*adjoint);
  };
  std::unordered_set<ValueId> inherited;
  for (std::size_t k = 0; k < roots.size(); ++k)
    if (is_bad(roots[k]) && accounts_for(seeds[k], *adjoint_of(roots[k])))
      inherited.insert(roots[k]);
  // An operation and an operand of it whose adjoint is not finite.
  struct Use {
    ValueId user, operand;
    std::size_t k;
  };
  std::vector<Use> uses;
  for (ValueId i = range.end(); i-- > range.from();) {
    if (!adjoint_of(i) || recording[i].op == Op::leaf) continue;
    const std::vector<ValueId> operands = operands_of(recording, i);
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (!is_bad(operands[k])) continue;
      const double adjoint = *adjoint_of(operands[k]);
      const bool by_data = std::any_of(operands.begin(), operands.end(), [&](ValueId x) {
        return accounts_for(recording.primal(x), adjoint);
      });
      if (by_data || accounts_for(*adjoint_of(i), adjoint)) inherited.insert(operands[k]);
      uses.push_back({i, operands[k], k});
    }
  }
  std::erase_if(uses, [&](const Use& use) { return inherited.contains(use.operand); });
  if (uses.empty()) return;
  // The first operation that passes on a term that is not finite. If there is none, a sum has
  // overflowed: the first of its terms.
  auto made = std::find_if(uses.begin(), uses.end(), [&](const Use& use) {
    return !passes_finite(recording, use.user, use.k, *adjoint_of(use.user));
  });
  if (made == uses.end()) made = uses.begin();
  set_error("the gradient became " + std::string(kind_of(*adjoint_of(made->operand))) + " in " +
            told(recording, made->user) + ", whose own gradient is " +
            text_of(*adjoint_of(made->user)) + line_of(recording, made->user));
  throw py::error_already_set();
}

void check_tangents(const ActiveRange& range, const Slopes& tangents,
                    std::span<const ValueId> results) {
  const Recording& recording = range.recording();
  const auto tangent_of = [&](ValueId i) {
    return range.varies(i) ? tangents[i - range.begin()] : std::nullopt;
  };
  // A number that is not finite matters only if it contributes to a result that is not finite.
  std::vector<bool> counts(range.end() - range.begin());
  const auto count = [&](ValueId i) {
    if (const auto tangent = tangent_of(i); tangent && !std::isfinite(*tangent))
      counts[i - range.begin()] = true;
  };
  for (const ValueId result : results) count(result);
  std::optional<ValueId> first;
  for (ValueId i = range.end(); i-- > range.from();) {
    if (!counts[i - range.begin()]) continue;
    bool moved = false, inherited = false;
    for (const ValueId operand : operands_of(recording, i)) {
      const double tangent = *tangent_of(i);
      inherited |= accounts_for(recording.primal(operand), tangent);
      if (const auto from = tangent_of(operand)) {
        moved = true;
        inherited |= accounts_for(*from, tangent);
        count(operand);
      }
    }
    if (moved && !inherited) first = i;
  }
  if (!first) return;
  const std::vector<ValueId> operands = operands_of(recording, *first);
  set_error("the tangent became " + std::string(kind_of(*tangent_of(*first))) + " in " +
            told(recording, *first) + ", whose operands have the tangents " +
            listed(operands.size(),
                   [&](std::size_t k) { return text_of(tangent_of(operands[k]).value_or(0.0)); }) +
            line_of(recording, *first));
  throw py::error_already_set();
}

SweepLines::~SweepLines() {
  in_.causes = before_;
  if (causes_.empty()) return;
  try {
    for (std::size_t k = 0; k < causes_.size(); ++k) {
      const auto [begin, cause] = causes_[k];
      const ValueId end = k + 1 < causes_.size() ? causes_[k + 1].first : in_.size();
      in_.lines.add(begin, end, of_.lines.at(cause));
    }
    in_.lines.add(begin_, in_.size(), Line::here());
  } catch (const std::bad_alloc&) {
    // Without memory, messages do not name these lines.
  }
}

}  // namespace tapegrad::python
