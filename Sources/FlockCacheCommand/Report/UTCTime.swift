/// A moment as RFC 3339 writes it, in UTC: `2026-11-26T05:20:06.123456Z`.
struct UTCTime {
    /// Since 1970.
    let microseconds: Int64

    /// Years outside of 0000 to 9999, which RFC 3339 does not know, are shown as the nearest end.
    var text: String {
        let first: Int64 = -62_167_219_200
        let last: Int64 = 253_402_300_799
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        let seconds = min(last, max(first, remainder < 0 ? quotient - 1 : quotient))
        let fraction = remainder < 0 ? remainder + 1_000_000 : remainder
        let (days, second) = Self.floor(seconds, 86400)
        let (year, month, day) = Self.date(days)
        let (hour, minute) = (second / 3600, second / 60 % 60)
        return Self.digits(year, 4) + "-" + Self.digits(month, 2) + "-" + Self.digits(day, 2) + "T"
            + Self.digits(hour, 2) + ":" + Self.digits(minute, 2) + ":"
            + Self.digits(second % 60, 2) + "." + Self.digits(fraction, 6) + "Z"
    }

    /// The date of the Gregorian calendar that lies so many days after 1970-01-01.
    ///
    /// Counted in years that begin in March, so that the leap day is a year's last: 400 such years have 146,097 days,
    /// and the first day of month m (0 is March) is day (153 m + 2) / 5 of its year.
    private static func date(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, day) = floor(days + 719_468, 146_097)
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        return (
            year + era * 400 + (month < 10 ? 0 : 1), month < 10 ? month + 3 : month - 9,
            dayOfYear - (153 * month + 2) / 5 + 1
        )
    }

    private static func floor(_ number: Int64, _ divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    private static func digits(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
}
