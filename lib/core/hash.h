// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// XXH3-128, the hash of module files, headers and caches. It finds damage; it
// does not resist an attacker who picks the bytes.
//
//   Hash128 whole = HashBytes(bytes);
//   Hasher hasher;
//   hasher.Update(first);
//   hasher.Update(second);
//   assert(hasher.Finish() == HashBytes(first + second));

#ifndef MOE_LIB_CORE_HASH_H_
#define MOE_LIB_CORE_HASH_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moe {

// 16 bytes in xxHash's canonical (big-endian) order.
struct Hash128 {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const Hash128&) const = default;
  // 32 lower-case hexadecimal digits.
  std::string Hex() const;
  // The inverse of Hex(); nothing if |hex| is anything else.
  static std::optional<Hash128> FromHex(std::string_view hex);
};

Hash128 HashBytes(std::span<const std::byte> bytes);
Hash128 HashText(std::string_view text);

// Hash of a sequence of pieces. Movable; not thread-safe.
class Hasher {
 public:
  Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);
  // The eight bytes of |value|, little-endian.
  void Update(uint64_t value);
  // May be called more than once; more updates may follow.
  Hash128 Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moe

#endif  // MOE_LIB_CORE_HASH_H_
