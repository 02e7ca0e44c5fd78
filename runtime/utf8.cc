// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/utf8.h"

#include <cstdint>

namespace moe {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the sequence that |lead| begins; 0 if none does.
int SequenceLength(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Whether |byte| may stand at |position| >= 1 after |lead|: the second byte
// excludes overlong forms, surrogates and values above U+10FFFF.
bool Continues(uint8_t lead, int position, uint8_t byte) {
  uint8_t low = 0x80, high = 0xBF;
  if (position == 1) {
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  return byte >= low && byte <= high;
}

}  // namespace

void Utf8Stream::Push(std::string_view bytes, std::string* out) {
  for (char c : bytes) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (have_ > 0) {
      if (Continues(static_cast<uint8_t>(pending_[0]), have_, byte)) {
        pending_[have_++] = c;
        if (have_ == need_) {
          out->append(pending_, static_cast<size_t>(have_));
          have_ = 0;
        }
        continue;
      }
      Finish(out);
    }
    need_ = SequenceLength(byte);
    if (need_ == 1) {
      out->push_back(c);
    } else if (need_ == 0) {
      out->append(kReplacement);
    } else {
      pending_[have_++] = c;
    }
  }
}

void Utf8Stream::Finish(std::string* out) {
  if (have_ > 0) out->append(kReplacement);
  have_ = 0;
}

std::string ToValidUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Utf8Stream stream;
  stream.Push(bytes, &out);
  stream.Finish(&out);
  return out;
}

std::string WithoutControls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    // C1 controls are the two-byte sequences C2 80 to C2 9F.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() &&
                    static_cast<uint8_t>(text[i + 1]) < 0xA0;
    if (c1 || byte == 0x7F || (byte < 0x20 && byte != '\n' && byte != '\t')) {
      out.append(kReplacement);
      i += c1 ? 1 : 0;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace moe
