// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows between ranks.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"

using namespace mlir;
using namespace mlir::moe;

template <typename T>
static std::optional<std::vector<Parcel<T>>>
exchange(Call<T> &c, int64_t ranks, std::vector<Parcel<T>> parcels) {
  auto *member = c.machine.member;
  int64_t here = member ? member->size() : 1;
  if (!c.same("ranks that run the program", here, ranks))
    return std::nullopt;
  if (!member)
    return std::vector<Parcel<T>>{std::move(parcels[0])};
  auto taken = member->exchange(std::move(parcels));
  if (!taken)
    c.expect(false, "every rank to take part in the exchange");
  return taken;
}

/// Rows in order of arrival, the plan by local expert, and where the rows of
/// each rank begin.
template <typename T> static Results<T> allToAllV(Call<T> &c, AllToAllVOp op) {
  const Tensor<T> &rows = c[op.getRows()];
  const Plan &plan = c.plan(op.getPlan());
  int64_t ranks = op.getRanks(), experts = plan.experts / ranks;
  if (!c.same("rows", rows.dim(0), plan.rows()))
    return {};
  std::vector<Parcel<T>> parcels;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    std::vector<int64_t> local;
    for (int64_t e = 0; e < experts; ++e) {
      int64_t expert = rank * experts + e;
      local.insert(local.end(), plan.offsets[expert + 1] - plan.offsets[expert],
                   e);
    }
    int64_t count = local.size();
    parcels.push_back({rows.rows(plan.offsets[rank * experts],
                                 plan.offsets[(rank + 1) * experts]),
                       Tensor<T>::ints(Element::I32, {count}, local)});
  }
  auto taken = exchange(c, ranks, std::move(parcels));
  if (!taken)
    return {};
  llvm::SmallVector<Tensor<T>> arrived;
  std::vector<int32_t> expertOf;
  std::vector<int64_t> from{0};
  for (const Parcel<T> &parcel : *taken) {
    arrived.push_back(parcel[0]);
    for (int32_t expert : parcel[1].int32s())
      expertOf.push_back(expert);
    from.push_back(expertOf.size());
  }
  return {Tensor<T>::joined(arrived),
          ::moe::reference::MakePlan(expertOf.data(), expertOf.size(), experts,
                                     /*top_k=*/1),
          Tensor<T>::ints(Element::I32, {ranks + 1}, from)};
}

template <typename T>
static Tensor<T> allToAllVBack(Call<T> &c, AllToAllVBackOp op) {
  const Tensor<T> &y = c[op.getY()];
  const Plan &local = c.plan(op.getLocal()), &plan = c.plan(op.getPlan());
  std::vector<int32_t> from = c[op.getFrom()].int32s();
  int64_t ranks = from.size() - 1;
  if (!c.same("rows", y.dim(0), local.rows()) ||
      !c.same("rows that arrived", local.rows(), from.back()))
    return {};
  std::vector<Parcel<T>> parcels;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    llvm::SmallVector<Tensor<T>> back{y.rows(0, 0)};
    for (int32_t row = from[rank]; row < from[rank + 1]; ++row)
      back.push_back(y.rows(local.slot2row[row], local.slot2row[row] + 1));
    parcels.push_back({Tensor<T>::joined(back)});
  }
  auto taken = exchange(c, ranks, std::move(parcels));
  if (!taken)
    return {};
  llvm::SmallVector<Tensor<T>> rows;
  for (const Parcel<T> &parcel : *taken)
    rows.push_back(parcel[0]);
  Tensor<T> all = Tensor<T>::joined(rows);
  if (!c.same("rows that came back", all.dim(0), plan.rows()))
    return {};
  return all;
}

template <typename T>
void mlir::moe::addExchangeHandlers(HandlerTable<T> &table) {
  table.template add<AllToAllVOp>(
      [](Call<T> &c, AllToAllVOp op) { return allToAllV(c, op); });
  table.template add<AllToAllVBackOp>(
      [](Call<T> &c, AllToAllVBackOp op) { return allToAllVBack(c, op); });
}

template void mlir::moe::addExchangeHandlers(HandlerTable<float> &);
template void mlir::moe::addExchangeHandlers(HandlerTable<double> &);
