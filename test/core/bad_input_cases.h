// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Made bad files, one per row: what is in the folder, which reader opens it,
// and the code and exit code that must come out.

#ifndef MOE_TEST_CORE_BAD_INPUT_CASES_H_
#define MOE_TEST_CORE_BAD_INPUT_CASES_H_

#include <map>
#include <string>
#include <vector>

namespace moe {

enum class Reader {
  kSafetensors,  // the file "f"
  kCheckpoint,   // the folder
  kConfig,       // the folder
  kModule,       // the file "f"
};

struct BadInput {
  std::string name;
  Reader reader;
  // Name -> bytes. A value that starts with "->" makes a symbolic link.
  std::map<std::string, std::string> files;
  std::string code;
  int exit = 3;
};

std::vector<BadInput> BadInputs();

// Its parts, each in a file of its own.
void AddBadFolders(std::vector<BadInput>& cases);
void AddBadModules(std::vector<BadInput>& cases);

}  // namespace moe

#endif  // MOE_TEST_CORE_BAD_INPUT_CASES_H_
