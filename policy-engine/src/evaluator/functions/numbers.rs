//! Functions of numbers whose results grow with the value of a number and not with its length.

use regorus::Value;

use crate::evaluator::budget::Budget;
use crate::evaluator::limits::RANGE_ELEMENTS_MAX;

/// What an element of a list takes, in bytes.
const ELEMENT_BYTES: usize = 32;

/// `numbers.range(first, last)`, and with a step `numbers.range_step`. Both ends are in it.
pub(super) fn range(budget: &Budget, first: &Value, last: &Value, step: Option<&Value>) -> Option<Value> {
    let (first, last) = (integer(first)?, integer(last)?);
    let step = match step {
        None => 1,
        Some(step) => integer(step).filter(|step| *step > 0)?,
    };
    let elements = first.abs_diff(last).checked_div(step.unsigned_abs())?.checked_add(1)?;
    let elements = usize::try_from(elements).ok()?;
    if elements > RANGE_ELEMENTS_MAX {
        budget.take(usize::MAX)?;
    }
    budget.take(elements.checked_mul(ELEMENT_BYTES)?)?;
    let step = if first <= last { step } else { step.checked_neg()? };
    let following = std::iter::successors(Some(first), |number| number.checked_add(step));
    Some(Value::from(following.take(elements).map(Value::from).collect::<Vec<_>>()))
}

/// `bits.lsh(number, shift)`, for results of 63 bits.
pub(super) fn left_shift(number: &Value, shift: &Value) -> Option<Value> {
    let (number, shift) = (integer(number)?, u32::try_from(integer(shift)?).ok()?);
    let factor = 2i64.checked_pow(shift)?;
    number.checked_mul(factor).map(Value::from)
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(first: i64, last: i64, step: Option<i64>) -> Option<Vec<i64>> {
        let budget = Budget::default();
        budget.renew();
        let step = step.map(Value::from);
        let list = range(&budget, &Value::from(first), &Value::from(last), step.as_ref())?;
        Some(list.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect())
    }

    #[test]
    fn ranges_have_both_ends_and_are_bounded() {
        assert_eq!(numbers(1, 3, None), Some(vec![1, 2, 3]));
        assert_eq!(numbers(3, 1, None), Some(vec![3, 2, 1]));
        assert_eq!(numbers(2, 2, None), Some(vec![2]));
        assert_eq!(numbers(0, 7, Some(3)), Some(vec![0, 3, 6]));
        assert_eq!(numbers(7, 0, Some(3)), Some(vec![7, 4, 1]));
        assert_eq!(numbers(0, 7, Some(0)), None);
        let most = i64::try_from(RANGE_ELEMENTS_MAX).unwrap();
        assert_eq!(numbers(1, most, None).unwrap().len(), RANGE_ELEMENTS_MAX);
        assert_eq!(numbers(0, most, None), None);
        assert_eq!(numbers(i64::MIN, i64::MAX, None), None);
        assert_eq!(numbers(i64::MIN, i64::MAX, Some(i64::MAX)).unwrap().len(), 3);
    }

    #[test]
    fn shifts_stay_small() {
        let shifted = |number: i64, shift: i64| left_shift(&Value::from(number), &Value::from(shift));
        assert_eq!(shifted(1, 4), Some(Value::from(16i64)));
        assert_eq!(shifted(-3, 2), Some(Value::from(-12i64)));
        assert_eq!(shifted(1, 62), Some(Value::from(1i64 << 62)));
        for (number, shift) in [(1, 63), (1, 1_000_000_000), (1, -1), (i64::MAX, 1)] {
            assert_eq!(shifted(number, shift), None, "{number} {shift}");
        }
    }
}
