// The modes no_grad() and detect_anomaly(). A mode applies to the thread that entered it.
#pragma once

namespace tapegrad::python {

// The modes of a thread.
enum class Mode { no_grad, anomaly };

// True if a thread has a mode on. Operators check only this flag.
inline bool watching = false;

// True if this thread has the mode on. Call it only while `watching` is true.
bool is_on(Mode mode);

// True if results in this thread are constants.
inline bool no_grad_on() { return watching && is_on(Mode::no_grad); }
// True if a NaN or infinity made in this thread raises an error.
inline bool anomaly_on() { return watching && is_on(Mode::anomaly); }

}  // namespace tapegrad::python
