// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bytes that a model made, shown as text: models emit UTF-8 piece by piece, and
// nothing keeps it valid.
#ifndef MOE_RUNTIME_UTF8_H_
#define MOE_RUNTIME_UTF8_H_

#include <string>
#include <string_view>

namespace moe {

// Turns a stream of bytes into valid UTF-8. A sequence is held back until its
// last byte has come; each maximal piece that cannot become a character is
// replaced by U+FFFD. The result does not depend on how the stream was cut.
class Utf8Stream {
 public:
  // Appends to |out| what |bytes| completes.
  void Push(std::string_view bytes, std::string* out);
  // Ends the stream: an unfinished sequence becomes U+FFFD.
  void Finish(std::string* out);

 private:
  char pending_[4];
  int have_ = 0;  // bytes in pending_, fewer than need_
  int need_ = 0;
};

// |bytes| as valid UTF-8, by the same rule.
std::string ToValidUtf8(std::string_view bytes);

// |text| with control characters other than newline and tab shown as U+FFFD: a
// terminal must not obey a model.
std::string WithoutControls(std::string_view text);

}  // namespace moe

#endif  // MOE_RUNTIME_UTF8_H_
