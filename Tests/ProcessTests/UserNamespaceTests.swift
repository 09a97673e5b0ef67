import Glibc
import TestSupport
import Testing

@testable import TestHelpers

/// Whether a user without privileges can have a user namespace.
private let canHaveUserNamespace =
    canBeNobody && run("setpriv", nobody + ["unshare", "-U", "true"]).code == 0

/// Whether a namespace can give a user a number of one's choice.
private let canMapUsers =
    canHaveUserNamespace
    && run("setpriv", nobody + ["unshare", "-U", "--map-user", "65534", "true"]).code == 0

/// Users and groups without a number in a user namespace are all shown as 65534: the same number is not the same
/// user.
@Suite(.ownThreads, .enabled(if: canHaveUserNamespace, "needs root, setpriv, and user namespaces"))
struct UserNamespaceTests {
    private func asUser(_ user: Int, group: Int, _ words: String) -> String {
        "setpriv --reuid \(user) --regid \(group) --clear-groups \(words) flock-cache get a"
    }

    /// A private store of user 1234 that everybody may read, which its owner may have done by mistake.
    private func strangersStore() -> Stage {
        let stage = Stage()
        chmod(stage.directory.path, 0o755)
        stage.publish("a", "secret")
        let outcome = stage.script(
            "chown -R 1234:1234 $FLOCK_CACHE_DIR; chmod -R a+rX $FLOCK_CACHE_DIR")
        #expect(outcome.code == 0, "\(outcome)")
        return stage
    }

    @Test func aStrangerIsNotOneselfBecauseBothHaveNoNumber() {
        let stage = strangersStore()
        for words in ["", "unshare -U", "unshare -Ur"] {
            for user in [0, 4321, 65534] where user != 0 || words == "unshare -U" {
                let outcome = stage.script(asUser(user, group: 1234, words))
                #expect(outcome.code == 77 && outcome.output.isEmpty, "\(words): \(outcome)")
            }
        }
        // Root of the machine, in a namespace that has no number for it.
        let root = stage.script("unshare -U flock-cache get a")
        #expect(root.code == 77, "\(root)")
        #expect(root.error.contains("that number stands for every user without one"), "\(root)")
    }

    @Test func oneselfIsOneselfWithoutANumber() {
        let stage = strangersStore()
        for words in ["", "unshare -U", "unshare -Ur"] {
            let outcome = stage.script(asUser(1234, group: 1234, words))
            #expect(outcome.code == 0 && outcome.text == "secret", "\(words): \(outcome)")
        }
    }

    /// A user whose own number is the one that stands for all others.
    @Test(.enabled(if: canMapUsers, "needs unshare --map-user"))
    func aStrangerIsNotTheUserWhoseNumberStandsForStrangers() {
        let stage = strangersStore()
        let mapped = "unshare -U --map-user 65534"
        #expect(stage.script(asUser(4321, group: 1234, mapped)).code == 77)
        #expect(stage.script(asUser(1234, group: 1234, mapped)).text == "secret")
    }

    @Test func membersOfAGroupWithoutANumberAreTheKernelsToJudge() {
        let stage = Stage()
        chmod(stage.directory.path, 0o1777)
        let owner = "setpriv --reuid 1234 --regid 1234 --clear-groups"
        #expect(stage.script("\(owner) flock-cache init --mode 0770").code == 0)
        let published = stage.script("\(owner) flock-cache run a -- printf secret")
        #expect(published.code == 0, "\(published)")
        let member = stage.script(asUser(4321, group: 1234, "unshare -U"))
        #expect(member.code == 0 && member.text == "secret", "\(member)")
        #expect(stage.script(asUser(4321, group: 4321, "unshare -U")).code == 77)
        // Opened to all, it no longer says who is a member.
        #expect(stage.script("chmod -R a+rX $FLOCK_CACHE_DIR").code == 0)
        #expect(stage.script(asUser(4321, group: 4321, "unshare -U")).code == 77)
        #expect(stage.script(asUser(4321, group: 1234, "")).text == "secret")
    }
}
