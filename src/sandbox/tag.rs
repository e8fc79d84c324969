//! Tags in e-mail addresses that make trouble by themselves.

/// Whether the local part of `address` carries `+tag`.
pub(super) fn tagged(address: &str, tag: &str) -> bool {
    let local = address.split_once('@').map_or(address, |(local, _)| local);
    local.split('+').skip(1).any(|part| part.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_carry_several_tags() {
        let address = "Zoë <zoe+cal-refused+refund-lost@example.edu>";
        assert!(tagged(address, "cal-refused"));
        assert!(tagged(address, "refund-lost"));
        assert!(!tagged(address, "cal"));
        assert!(!tagged("cal-refused@example.edu", "cal-refused"));
        assert!(!tagged("zoe@cal+cal-refused.example", "cal-refused"));
    }
}
