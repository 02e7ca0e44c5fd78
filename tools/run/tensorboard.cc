// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/tensorboard.h"

#include <array>
#include <cstring>

namespace moe::run {
namespace {

// Wire types of protocol buffers.
enum Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <typename T>
std::string Raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);  // little-endian, as we are
  return bytes;
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7)
    bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}

std::string Tag(uint32_t field, Wire wire) { return Varint(field << 3 | wire); }

std::string Message(uint32_t field, std::string_view bytes) {
  std::string message = Tag(field, kBytes) + Varint(bytes.size());
  return message.append(bytes);
}

constexpr std::array<uint32_t, 256> kTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}();

// So that the sum of bytes that hold sums differs from them.
std::string Masked(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return Raw<uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8u);
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes)
    crc = crc >> 8 ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

// Event: 1 wall_time, 2 step, 3 file_version, 5 summary of values (1), each of
// tag (1) and simple_value (2).
EventFile::EventFile() {
  Append(Tag(1, kFixed64) + Raw(0.0) + Message(3, "brain.Event:2"));
}

void EventFile::Add(int64_t step, double seconds,
                    std::span<const Scalar> scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars)
    summary += Message(1, Message(1, scalar.tag) + Tag(2, kFixed32) +
                              Raw(static_cast<float>(scalar.value)));
  Append(Tag(1, kFixed64) + Raw(seconds) + Tag(2, kVarint) +
         Varint(static_cast<uint64_t>(step)) + Message(5, summary));
}

void EventFile::Append(std::string_view event) {
  const std::string length = Raw(static_cast<uint64_t>(event.size()));
  bytes_ += length + Masked(length);
  bytes_.append(event);
  bytes_ += Masked(event);
}

}  // namespace moe::run
